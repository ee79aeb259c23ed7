"""Memory of the commands: what malloc keeps, and errors that say it ended."""

from __future__ import annotations

import ctypes
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # parameters of mallopt(3)
MAX_MMAP_THRESHOLD = 32 * 2**20  # bytes: the largest value that glibc allows
TRIM_THRESHOLD = 2**30  # bytes of free memory that malloc keeps


def lacks_memory(error: RuntimeError) -> bool:
    """Whether an error of torch or onnxruntime says that memory could not be allocated, on any device."""
    text = str(error).lower()
    return any(part in text for part in ("out of memory", "allocate memory", "not enough memory", "bad_alloc"))


def keep_freed_memory() -> None:
    """Makes glibc's malloc keep up to 1 GiB of freed memory for the next image; other C libraries are left alone.

    By default, malloc returns every feature map to the system and requests it again, which takes a fifth of the CPU
    time of inference.
    """
    with suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, MAX_MMAP_THRESHOLD)
        mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD)
