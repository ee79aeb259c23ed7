"""Files: checks before long work, reading of regular files only, and atomic writing."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

_KEPT_NAME = 40  # characters of a file's name in that of its temporary file: names have at most 255 bytes
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}\.centerdet\.tmp", re.DOTALL)
_MAX_LINKS = 40  # links that lead to one file: the limit of Linux


def check_folder(path: str | Path, *, makes_folder: bool = False) -> None:
    """Checks, before long work, that a file can be written.

    Args:
        path: The file. A character device, a pipe, or a name of an open file such as /dev/stdout is fine.
        makes_folder: Whether the folder will be made if it is missing.

    Raises:
        ValueError: If its folder is missing or not writable, or the path is a folder, a disk or a circle of links.
    """
    if writes_through(path):
        return
    folder = Path(os.path.realpath(Path(path).parent))
    while makes_folder and not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK) or not folder.is_dir():
        raise ValueError(f"cannot write {path}: there is no writable folder {folder}; make it, or choose another")
    try:
        mode = Path(path).stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:  # a circle of links, or a name that is too long
        raise ValueError(f"cannot write {path}: {error.strerror}; name another file") from None
    if not stat.S_ISREG(mode):
        kind = "folder" if stat.S_ISDIR(mode) else "disk or socket"
        raise ValueError(f"cannot write {path}: it is a {kind}; name a file{' in it' if kind == 'folder' else ''}")


def writes_through(path: str | Path) -> bool:
    """Whether a path is a character device, a pipe, or a name of an open file, such as /dev/stdout.

    These are opened and written. To rename a file over them would destroy them.
    """
    link = Path(path)
    try:
        for _ in range(_MAX_LINKS):
            link = Path(os.path.realpath(link.parent)) / link.name
            if not link.is_symlink():
                break
            if link.is_relative_to("/dev") or link.is_relative_to("/proc"):
                return True
            link = link.parent / link.readlink()
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):  # also a name that is too long; the latter for a null byte
        return False
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)


def open_through(path: str | Path) -> int:
    """Opens a device, a pipe, or a name of an open file, such as /dev/stdout, for writing; returns its descriptor.

    A regular file that this process has open is not opened again: the second descriptor would write from the file's
    start, over what the first one wrote. A pipe that no process reads is an error; it does not block.

    Raises:
        OSError: If it cannot be opened, or is an open file that may only be read.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    os.set_blocking(descriptor, True)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        return descriptor
    os.close(descriptor)
    import fcntl  # here, since only Unix has it

    for other in sorted(int(name) for name in os.listdir("/dev/fd")):  # noqa: PTH208 (names are all that is needed)
        with contextlib.suppress(OSError):  # the descriptor of the listing itself is closed
            is_writable = fcntl.fcntl(other, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
            if is_writable and os.path.samestat(os.fstat(other), status):
                return os.dup(other)
    raise OSError(errno.EBADF, "it is open for reading only")


def is_folder(path: Path) -> bool:
    """Whether there is such a folder. Unlike ``Path.is_dir``, it raises no error for any path, however odd."""
    return os.path.isdir(path)  # noqa: PTH112


def is_present(path: Path) -> bool:
    """Whether there is such a file or folder. Unlike ``Path.exists``, it raises no error for any path, however odd."""
    return os.path.exists(path)  # noqa: PTH110


def make_folder(folder: Path) -> None:
    """Creates a folder, and the folders above it, where they are missing.

    Raises:
        ValueError: If the folder cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot make the folder {folder}: {error.strerror}; choose another folder") from None


def write_atomically(path: str | Path, content: bytes) -> None:
    """Writes a file completely or not at all.

    The content goes to a new temporary file in the same folder, which is flushed to disk and then renamed. A link is
    replaced, not followed. Devices and pipes are written directly.

    Raises:
        OSError: If the file cannot be written; an existing file stays unchanged.
    """
    path = Path(path)
    try:
        if writes_through(path):
            with open(open_through(path), "wb") as file:
                file.write(content)
        else:
            with replacement(path, folder=path.parent) as file:
                file.write(content)
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror or error}") from error


def write_all_atomically(contents: Mapping[Path, bytes]) -> None:
    """Writes several files as ``write_atomically`` does, and replaces none before all of them are on the disk.

    Raises:
        OSError: If one cannot be written; existing files stay unchanged.
    """
    path = None
    try:
        with contextlib.ExitStack() as stack:
            for path, content in contents.items():
                file = stack.enter_context(replacement(path, folder=path.parent))
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror or error}") from error


@contextlib.contextmanager
def replacement(path: Path, *, folder: Path) -> Iterator[BinaryIO]:
    """Gives a new file that replaces another one once the context ends without an error.

    Until then, it is a temporary file that nobody can predict or prepare. It is flushed to disk before it is renamed.

    Args:
        path: The file to replace.
        folder: The folder of the temporary file, on the same disk.

    Raises:
        OSError: If the file cannot be written; an existing file stays unchanged.
    """
    temporary = folder / f".{path.name[:_KEPT_NAME]}.{secrets.token_hex(8)}.centerdet.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(os.open(temporary, flags, 0o666), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):  # the folder may have been removed; another error names the cause
            temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Removes the temporary files of ``write_atomically`` that a killed process left in a folder, and no others."""
    for path in folder.iterdir():
        if _TEMPORARY.fullmatch(path.name) and path.is_file() and not path.is_symlink():
            path.unlink(missing_ok=True)


def escape_character(character: str) -> str:
    r"""Returns a character of a file's name as ``\x1b``; a byte that is not UTF-8 as ``\xff``."""
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape", "backslashreplace").decode()


def open_regular(path: str | Path) -> BinaryIO:
    """Opens a regular file for reading; a FIFO or device in its place neither blocks nor is touched.

    Raises:
        ValueError: If there is no such file, it is of another kind, or it cannot be opened. The message does not name
            the path: the caller does.
    """
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise ValueError(f"it is {'a folder' if Path(path).is_dir() else 'a device or pipe'}, not a regular file")
        return os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except FileNotFoundError:
        raise ValueError("there is no such file") from None
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from None


def read_regular(path: str | Path, *, max_bytes: int) -> bytes:
    """Reads a regular file completely.

    Raises:
        ValueError: As ``open_regular``, or if the file has more than ``max_bytes`` bytes.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > max_bytes:
            raise ValueError(f"it has {size:,} bytes, and at most {max_bytes:,} are allowed")
        return file.read(size)  # not max_bytes, which would be allocated
