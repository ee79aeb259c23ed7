"""Straight segments on a padded map of log-likelihood ratios, compiled with numba.

A pixel's *log-likelihood ratio* (short: llr) says how much more likely its value is if something was drawn there than
if it is background, in nats. It is 0 where nothing is known, or where a line already explains the pixel. A margin of
``PAD`` zeros surrounds the map, so that an outline may leave the image.

Pixels of a segment: Bresenham, IBM Systems Journal 4 (1965), with ties broken as in scikit-image.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

try:
    from numba import njit
except ImportError:
    raise ImportError("refinement needs numba: pip install '.[refine]'") from None

PAD = 64  # px: more than half the longest outline, so that no outline centred in the image leaves the padded map
_ROUND = 1 << 31  # one half in the fixed-point numbers of a walk, which have 32 bits behind the point
compiled = njit(cache=True, nogil=True, fastmath={"reassoc"})  # reassoc: sums may be vectorised


class Segment(NamedTuple):
    """A straight segment between two pixels, both included."""

    x0: int
    y0: int
    x1: int
    y1: int


class _Walk(NamedTuple):
    """Bresenham's walk along a segment: ``num_steps`` along one axis, and now and then one aside.

    After i steps, ``(_ROUND + i * slope) >> 32`` steps aside have been made: exact for segments below 2**16 px.
    """

    num_steps: int
    along_x: int
    along_y: int
    aside_x: int
    aside_y: int
    slope: int


@compiled
def _walk(x0: int, y0: int, x1: int, y1: int) -> _Walk:
    across, down = abs(x1 - x0), abs(y1 - y0)
    step_x, step_y = (1 if x1 > x0 else -1), (1 if y1 > y0 else -1)
    if across > down:
        return _Walk(across, step_x, 0, 0, step_y, int(down / across * 2.0**32) + 1)
    return _Walk(down, 0, step_y, step_x, 0, int(across / max(1, down) * 2.0**32) + 1)


@compiled
def segment_pixels(x0: int, y0: int, x1: int, y1: int) -> NDArray[np.int64]:
    """Pixels of a segment, both ends included: ``(n, 2)`` as x, y; the same pixels as ``skimage.draw.line``."""
    walk = _walk(x0, y0, x1, y1)
    pixels = np.empty((walk.num_steps + 1, 2), np.int64)
    for i in range(walk.num_steps + 1):
        turns = (_ROUND + i * walk.slope) >> 32
        pixels[i, 0] = x0 + i * walk.along_x + turns * walk.aside_x
        pixels[i, 1] = y0 + i * walk.along_y + turns * walk.aside_y
    return pixels


@compiled
def half_open_sum(llr: NDArray[np.float32], x0: int, y0: int, x1: int, y1: int, stride: int = 1) -> float:
    """Sum of the map along a segment without its last pixel, which is the first of an outline's next edge."""
    walk = _walk(x0, y0, x1, y1)
    columns = llr.shape[1]
    flat = llr.reshape(-1)
    start = (y0 + PAD) * columns + x0 + PAD
    along = walk.along_y * columns + walk.along_x
    aside = walk.aside_y * columns + walk.aside_x
    total = np.float32(0)  # single precision: twice as many additions at once
    for i in range(0, walk.num_steps, stride):
        total += flat[np.uint64(start + i * along + ((_ROUND + i * walk.slope) >> 32) * aside)]  # unsigned is faster
    return np.float64(total)


@compiled
def segment_sum(llr: NDArray[np.float32], segment: Segment) -> float:
    """Sum of the map along a segment, both ends included."""
    last = llr[segment.y1 + PAD, segment.x1 + PAD]
    return half_open_sum(llr, segment.x0, segment.y0, segment.x1, segment.y1) + last


@compiled
def mask_segment(llr: NDArray[np.float32], segment: Segment) -> None:
    """Sets the pixels of a segment to 0."""
    for x, y in segment_pixels(segment.x0, segment.y0, segment.x1, segment.y1):
        llr[y + PAD, x + PAD] = 0
