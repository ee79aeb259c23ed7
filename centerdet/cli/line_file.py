"""Files that grow by whole lines: a stopped run or a full disk leaves no part of a line."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from centerdet.files import open_through, writes_through

WriteLine = Callable[[str], None]


@contextmanager
def open_lines(path: Path | None) -> Iterator[WriteLine]:
    """Gives a function that appends a line, with its line end, to a new file. Each line is written at once.

    Args:
        path: The file. An existing one is removed, not changed: hard links and targets of links keep their content.
            Devices and pipes are written directly. ``None``: standard output.

    Raises:
        ValueError: If standard output is closed.
        OSError: If the file cannot be made. The function raises it if a line cannot be written; the file then ends
            with the line before.
    """
    if path is None:
        yield _stdout_lines()
        return
    try:
        if writes_through(path):
            descriptor = open_through(path)
        else:
            path.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror}") from error
    try:
        yield lambda line: _append(descriptor, line, str(path))
    finally:
        os.close(descriptor)


def _stdout_lines() -> WriteLine:
    stdout = sys.stdout
    if stdout is None:
        raise ValueError("standard output is closed; name a file for the results with --out")
    stdout.flush()
    try:
        descriptor = stdout.fileno()
    except (OSError, ValueError, AttributeError):  # another stream in its place

        def write_line(line: str) -> None:
            stdout.write(line)
            stdout.flush()

        return write_line
    return lambda line: _append(descriptor, line, "standard output")


def _append(descriptor: int, line: str, name: str) -> None:
    """Writes a line at the end of a file; if only a part fits, the part is removed again."""
    content = memoryview(line.encode(errors="backslashreplace"))
    written = 0
    try:
        while written < len(content):
            written += os.write(descriptor, content[written:])
    except BrokenPipeError:
        raise
    except OSError as error:
        with suppress(OSError):
            if written and stat.S_ISREG(os.fstat(descriptor).st_mode):
                end = os.lseek(descriptor, 0, os.SEEK_CUR) - written
                os.ftruncate(descriptor, end)
                os.lseek(descriptor, end, os.SEEK_SET)
        reason = error.strerror or error
        raise OSError(f"cannot write {name}: {reason}; the results before are complete") from error
