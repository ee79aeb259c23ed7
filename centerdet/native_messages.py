"""Keeps what image decoders print by themselves off stderr, without losing what Python prints there.

libpng and libjpeg write to descriptor 2. A command therefore gives Python's stderr another descriptor, and points
descriptor 2 to the null device while an image is decoded. Used as a library, where stderr belongs to others, it
changes nothing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_STDERR = 2
_lock = threading.Lock()
_kept: int | None = None  # a copy of descriptor 2 while Python's stderr does not use it
_decoding = 0  # threads in hide_native_messages


@contextmanager
def separate_stderr() -> Iterator[int | None]:
    """Allows ``hide_native_messages`` to act during the ``with`` block.

    Gives a descriptor on which Python's stderr must write meanwhile, or ``None`` if an outer block is active.
    """
    global _kept
    with _lock:
        is_outer = _kept is None
        if is_outer:
            _kept = os.dup(_STDERR)
    if not is_outer or _kept is None:
        yield None
        return
    copy = os.dup(_kept)
    try:
        yield copy
    finally:
        with _lock:
            os.dup2(_kept, _STDERR)
            os.close(_kept)
            os.close(copy)
            _kept = None


@contextmanager
def hide_native_messages() -> Iterator[None]:
    """Hides what is written to descriptor 2 during the ``with`` block, in all threads."""
    global _decoding
    with _lock:
        is_active = _kept is not None
        if is_active and _decoding == 0:
            null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            os.dup2(null, _STDERR)
            os.close(null)
        _decoding += is_active
    try:
        yield
    finally:
        with _lock:
            _decoding -= is_active
            if is_active and _decoding == 0 and _kept is not None:
                os.dup2(_kept, _STDERR)
