"""Atomic writing of files, and early checks of the folders they go to."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import BinaryIO


def check_folder(path: str | Path) -> None:
    """Checks, before long work, that a file can be written.

    Raises:
        ValueError: If its folder is missing or not writable, or the path is a folder.
    """
    folder = Path(path).resolve().parent
    if not os.access(folder, os.W_OK | os.X_OK) or not folder.is_dir():
        raise ValueError(f"cannot write {path}: there is no writable folder {folder}; make it, or choose another")
    if Path(path).is_dir():
        raise ValueError(f"cannot write {path}: it is a folder; name a file in it")


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

    The content goes to a temporary file in the same folder, which is flushed to disk and then renamed.

    Raises:
        OSError: If the file cannot be written; an existing file stays unchanged.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):  # the folder may have been removed; the error above names the cause
            temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Removes the temporary files of ``write_atomically`` that a killed process left in a folder."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


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
        return file.read(max_bytes)
