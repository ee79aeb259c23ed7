"""Uniform noise and line segments on a torch device, for many images in a few calls.

Numpy draws the random bits, so that all devices have the same values. A value takes 16 bits, a quarter of the 64 that
numpy spends on a float64. Segments have exactly the pixels of scikit-image's, and lie one after another in one tensor.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LEVELS = 2**16  # number of different uniform values: 16 bits


def draw_uniform(
    rng: np.random.Generator, count: int, *, high: float = 1.0, device: torch.device | str = "cpu"
) -> Tensor:
    """Draws uniform values ``(count,)`` in (0, high), float32: the midpoints of 65,536 equal intervals."""
    bits = rng.integers(2**64, size=-(-count // 4), dtype=np.uint64).view(np.int16)[:count]
    return torch.add(high * (0.5 + 0.5 / LEVELS), torch.from_numpy(bits).to(device), alpha=high / LEVELS)


def rasterise(
    segments: NDArray[np.int64], drawn: NDArray[np.bool_] | None = None, *, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor, NDArray[np.int64]]:
    """Computes the pixels of line segments, as ``skimage.draw.line(x0, y0, x1, y1)`` does.

    Bresenham's line advances one pixel per step along the longer axis. Along the other axis it takes the pixel nearest
    to the true line; of two equally near ones, the one further along. So the pixel of step i is
    ``floor(start + i * slope + 1/2 + shift)``, where a small shift with the slope's sign resolves the ties. All other
    positions are at least ``1 / (2 * length)`` px away from a tie, so that a shift of half of that changes ties alone.

    Args:
        segments: ``(S, 2, 2)`` integers in px: start and end, x and y. Single precision suffices for segments of up to
            500 px, within 2,000 px of 0.
        drawn: ``(S,)``, which segments to draw; ``None``: all.
        device: Where to compute the pixels.

    Returns:
        x and y of the pixels ``(2, T)``, float32, segment by segment; the segment of each pixel ``(T,)``; and each
        segment's number of pixels ``(S,)``, T in all.
    """
    start, end = np.ascontiguousarray(segments.transpose(1, 2, 0), dtype=np.float32)  # each (2, S)
    way = end - start  # (2, S)
    longer = np.maximum(*np.abs(way))  # (S,)
    slope = way / np.maximum(longer, 1)
    base = start + np.float32(0.5) + np.copysign(np.float32(0.25), way) / (longer + 1)
    lengths = (longer + 1).astype(np.int64)
    if drawn is not None:
        lengths *= drawn

    count = int(lengths.sum())
    segment = torch.repeat_interleave(torch.from_numpy(lengths).to(device), output_size=count)  # (T,)
    first = torch.from_numpy(np.cumsum(lengths) - lengths).to(device)
    step = torch.arange(count, device=device) - first.index_select(0, segment)
    table = torch.from_numpy(np.concatenate([base, slope])).to(device).index_select(1, segment)  # (4, T)
    return torch.addcmul(table[:2], table[2:], step.float()).floor_(), segment, lengths


def overlay(pixels: Tensor, places: Tensor, values: Tensor, counts: list[int]) -> None:
    """Sets pixels to values where the values are higher, in place.

    Where strokes cross, the value of the last one counts. A stroke may contain each pixel only once.

    Args:
        pixels: ``(P,)``.
        places: ``(T,)`` indices into ``pixels``, stroke by stroke.
        values: ``(T,)``.
        counts: Number of indices of each stroke, T in all.
    """
    values = torch.maximum(values, pixels.index_select(0, places))
    for stroke, its_values in zip(places.split(counts), values.split(counts), strict=True):
        pixels.scatter_(0, stroke, its_values)
