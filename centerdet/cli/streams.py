"""Standard streams that never cost a result: closed or broken ones are ignored, and text is safe for a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, cast

from centerdet.files import escape_character
from centerdet.native_messages import separate_stderr

_STDERR = 2


def printable(text: str) -> str:
    r"""Returns a text for a terminal: control characters, and bytes of names that are not UTF-8, as \x1b or \xff."""
    return "".join(character if character.isprintable() else escape_character(character) for character in text)


def escape_bytes(name: str) -> str:
    r"""Returns a file name as valid Unicode: bytes that are not UTF-8 become \xff."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def one_line(message: object) -> str:
    """Returns a message as one line for a terminal: white space becomes single spaces."""
    return printable(" ".join(str(message).split()))


def run_all(*steps: Callable[[], object]) -> None:
    """Runs every step, though an earlier one fails: a full disk for one result does not cost the others.

    Raises:
        OSError | ValueError: What the first failed step raised, with the messages of the others; a closed standard
            output counts least.
    """
    errors: list[Exception] = []
    for step in steps:
        try:
            step()
        except (OSError, ValueError, MemoryError) as error:
            errors.append(error)
    errors.sort(key=lambda error: isinstance(error, BrokenPipeError))  # stable: the others keep their order
    if len(errors) > 1 and not isinstance(errors[1], BrokenPipeError):
        messages = [str(error) for error in errors if not isinstance(error, BrokenPipeError)]
        raise OSError("; ".join(dict.fromkeys(messages)))  # a full disk has the same reason for every step
    if errors:
        raise errors[0]


def print_result(*lines: object) -> None:
    """Prints lines at once.

    Raises:
        OSError: If standard output is closed or full. The message names it.
    """
    with _naming_stdout():
        print(*lines, sep="\n", flush=True)


def print_progress(*lines: object) -> None:
    """Prints lines at once; a closed or full standard output does not stop the command: ``flush_stdout`` reports it."""
    try:
        print(*lines, sep="\n", flush=True)
    except OSError as error:
        _lost.append(error)


@contextmanager
def _naming_stdout() -> Iterator[None]:
    """Names standard output in errors; a broken pipe stays what it is."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(f"cannot write standard output: {error.strerror or error}") from error


_lost: list[OSError] = []  # errors of print_progress that flush_stdout has not reported


class _LenientStream:
    """Writes to a stream; once it is closed, broken or full, the text is lost and the program goes on."""

    def __init__(self, stream: IO[str] | None) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._try(lambda stream: stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(lambda stream: stream.flush())

    def _try(self, call: Callable[[IO[str]], object]) -> None:
        if self._stream is not None:
            try:
                call(self._stream)
            except (OSError, ValueError):
                _discard(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def safe_streams() -> Iterator[None]:
    """Makes the standard streams of a command safe during the ``with`` block.

    Closed descriptors 0 to 2 are opened on the null device, since the next file that is opened would get their number,
    and libraries would print into it. Errors in writing to stderr are ignored. What image decoders print is hidden.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number: this one
    before = sys.stderr
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None and getattr(sys.stdout, "errors", None) == "strict":
        reconfigure(errors="backslashreplace")  # a terminal without some character costs no result
    with separate_stderr() as copy:
        lenient = _LenientStream(_on_descriptor(before, copy))
        sys.stderr = cast(Any, lenient)
        try:
            yield
        finally:
            lenient.flush()
            if sys.stderr is lenient:
                sys.stderr = before


def _on_descriptor(stream: IO[str] | None, descriptor: int | None) -> IO[str] | None:
    """Returns a stream like stderr on another descriptor; the stream itself if it is not on descriptor 2."""
    try:
        if stream is None or descriptor is None or stream.fileno() != _STDERR:
            return stream
    except (OSError, ValueError, AttributeError):
        return stream
    return open(
        descriptor,
        "w",
        buffering=1,
        encoding=getattr(stream, "encoding", None),
        errors="backslashreplace",
        closefd=False,
    )


def flush_stdout() -> None:
    """Writes what is left in the buffer of stdout.

    Raises:
        OSError: If stdout is closed or full, or was when ``print_progress`` wrote to it. The rest is thrown away, so
            that the interpreter does not fail again.
    """
    if sys.stdout is None:
        return
    try:
        with _naming_stdout():
            if _lost:
                raise _lost[0]
            sys.stdout.flush()
    except OSError:
        discard_stdout()
        raise
    finally:
        _lost.clear()


def discard_stdout() -> None:
    """Points stdout to the null device."""
    if sys.stdout is not None:
        _discard(sys.stdout)


def _discard(stream: IO[str]) -> None:
    """Points the descriptor of a stream to the null device, which takes the rest of its buffer."""
    with suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(null, stream.fileno())
        finally:
            os.close(null)
