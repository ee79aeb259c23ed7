"""Writing files so that a crash never leaves half of one."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def check_folder(path: str | Path) -> None:
    """Says early, before long work, that a file could not be written.

    Raises:
        ValueError: If its folder is missing or not writable, or it is a folder itself.
    """
    folder = Path(path).resolve().parent
    if not os.access(folder, os.W_OK | os.X_OK) or not folder.is_dir():
        raise ValueError(f"cannot write {path}: there is no writable folder {folder}; make it, or name another file")
    if Path(path).is_dir():
        raise ValueError(f"cannot write {path}: it is a folder; name a file in it")


def write_atomically(path: str | Path, content: bytes) -> None:
    """Writes a whole file or nothing: a temporary file beside it, flushed to disk, then renamed over it.

    Raises:
        OSError: If it cannot be written; what was there before is still there.
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
        with contextlib.suppress(OSError):  # the folder itself may be gone; the error above says so
            temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Removes temporary files of ``write_atomically`` that a killed process left in a folder."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)
