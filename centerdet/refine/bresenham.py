"""Straight pixel edges on evidence maps, compiled.

An *evidence* map holds, for each pixel, how much likelier it is under a drawn pixel than under background alone (nats);
0 where nothing is known or a line already explains the pixel. ``PAD`` cells of zeros surround it, so that an outline
may leave the image. Rasterisation: Bresenham, IBM Systems Journal 4 (1965), ties as scikit-image breaks them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

try:
    from numba import njit
except ImportError:
    raise ImportError("refinement needs numba: pip install 'centerdet[refine]'") from None

PAD = 64
_HALF = 1 << 31
compiled = njit(cache=True, nogil=True, fastmath={"reassoc"})  # sums in any order


@compiled
def _steps(x0: int, y0: int, x1: int, y1: int) -> tuple[int, int, int, int, int, int]:
    """How to walk a segment: its number of steps, x and y of each, x and y of a turn aside, and ``slope``.

    After i steps, ``(_HALF + i * slope) >> 32`` turns have been made: exact for segments of less than 2**16 px.
    """
    across, down = abs(x1 - x0), abs(y1 - y0)
    step_x, step_y = (1 if x1 > x0 else -1), (1 if y1 > y0 else -1)
    if across > down:
        return across, step_x, 0, 0, step_y, int(down / across * 2.0**32) + 1
    return down, 0, step_y, step_x, 0, int(across / max(1, down) * 2.0**32) + 1


@compiled
def edge_pixels(x0: int, y0: int, x1: int, y1: int) -> NDArray[np.int64]:
    """The pixels of a segment, both ends included: ``(n, 2)`` as x, y; the same ones as ``skimage.draw.line``."""
    count, along_x, along_y, aside_x, aside_y, slope = _steps(x0, y0, x1, y1)
    pixels = np.empty((count + 1, 2), np.int64)
    for i in range(count + 1):
        turns = (_HALF + i * slope) >> 32
        pixels[i, 0] = x0 + i * along_x + turns * aside_x
        pixels[i, 1] = y0 + i * along_y + turns * aside_y
    return pixels


@compiled
def edge_sum(evidence: NDArray[np.float32], x0: int, y0: int, x1: int, y1: int, stride: int = 1) -> float:
    """Evidence along a segment without its last pixel, which is the next one's first; walks as ``edge_pixels``."""
    count, along_x, along_y, aside_x, aside_y, slope = _steps(x0, y0, x1, y1)
    columns = evidence.shape[1]
    flat = evidence.reshape(-1)
    start, along, aside = (y0 + PAD) * columns + x0 + PAD, along_y * columns + along_x, aside_y * columns + aside_x
    total = np.float32(0)
    for i in range(0, count, stride):
        total += flat[np.uint64(start + i * along + ((_HALF + i * slope) >> 32) * aside)]  # unsigned: quicker
    return total


@compiled
def blank_segment(evidence: NDArray[np.float32], ends: NDArray[np.int64]) -> None:
    """Puts 0 on a segment ``(4,)``."""
    for x, y in edge_pixels(ends[0], ends[1], ends[2], ends[3]):
        evidence[y + PAD, x + PAD] = 0


@compiled
def segment_sum(evidence: NDArray[np.float32], ends: NDArray[np.int64]) -> float:
    """Evidence along a segment ``(4,)``, both ends included."""
    last = evidence[ends[3] + PAD, ends[2] + PAD]
    return edge_sum(evidence, ends[0], ends[1], ends[2], ends[3]) + last
