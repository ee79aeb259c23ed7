"""A lock on a folder, kept by the operating system: it ends with the process, however that ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Keeps other processes from locking the same folder during the ``with`` block.

    The lock is on the folder itself and leaves no file. Where the system has no such locks (Windows, some network file
    systems), the block runs without one.

    Raises:
        ValueError: If another process, or another training in this one, holds the lock.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # the caller's own checks name the cause
        yield
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"another training writes to {folder} now; wait for its end, or choose another folder (--out)"
            ) from None
        except OSError:  # this file system has no locks
            pass
        yield
    finally:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # a child process may still hold a copy of the descriptor
        os.close(descriptor)
