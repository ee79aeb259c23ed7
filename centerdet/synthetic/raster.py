"""Uniform noise and line segments on a torch device, for many images in a few calls.

Random bits come from numpy, sixteen for a value: the same values on every device, and four times as cheap as those of
single precision. Segments are computed pixel for pixel as scikit-image's, one after another in one long row.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LEVELS = 2**16


def draw_uniform(
    rng: np.random.Generator, count: int, *, high: float = 1.0, device: torch.device | str = "cpu"
) -> Tensor:
    """Uniform values ``(count,)`` in (0, high): the midpoints of 65,536 equal steps, each as likely as the others."""
    bits = rng.integers(2**64, size=-(-count // 4), dtype=np.uint64).view(np.int16)[:count]
    return torch.add(high * (0.5 + 0.5 / LEVELS), torch.from_numpy(bits).to(device), alpha=high / LEVELS)


def rasterise(
    segments: NDArray[np.int64], wanted: NDArray[np.bool_] | None = None, *, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor, NDArray[np.int64]]:
    """The pixels of line segments, as ``skimage.draw.line(x0, y0, x1, y1)`` draws them.

    Bresenham's line goes one pixel a step along its longer axis, and stays within half a pixel of the true line along
    the other; where two pixels are equally near, it takes the later one. So step i is at
    ``floor(start + i * slope + 1/2 + tiny)``, tiny having the slope's sign. What is no tie is at least
    ``1 / (2 * length)`` away from one: with a tiny of half that, ties alone turn.

    Args:
        segments: ``(S, 2, 2)`` whole pixels: start and end, x and y, up to 500 px long and within 2,000 px of 0, where
            single precision suffices.
        wanted: ``(S,)``: the segments that are to be drawn; ``None``: all.
        device: Where to compute the pixels.

    Returns:
        x and y ``(2, T)``, float32, and the segment of each ``(T,)``, one segment after another; and how many pixels
        each segment has ``(S,)``, T in all.
    """
    start, end = np.ascontiguousarray(segments.transpose(1, 2, 0), dtype=np.float32)  # each (2, S)
    way = end - start
    longer = np.maximum(*np.abs(way))
    slope = way / np.maximum(longer, 1)
    base = start + np.float32(0.5) + np.copysign(np.float32(0.25), way) / (longer + 1)
    lengths = (longer + 1).astype(np.int64)
    if wanted is not None:
        lengths *= wanted

    count = int(lengths.sum())
    segment = torch.repeat_interleave(torch.from_numpy(lengths).to(device), output_size=count)  # (T,)
    first = torch.from_numpy(np.cumsum(lengths) - lengths).to(device)
    step = torch.arange(count, device=device) - first.index_select(0, segment)
    table = torch.from_numpy(np.concatenate([base, slope])).to(device).index_select(1, segment)  # (4, T)
    return torch.addcmul(table[:2], table[2:], step.float()).floor_(), segment, lengths


def overlay(pixels: Tensor, places: Tensor, values: Tensor, counts: list[int]) -> None:
    """Raises pixels to values where those are higher, in place.

    Where several values meet in one pixel, the last layer's alone counts. Within a layer none may.

    Args:
        pixels: ``(P,)``.
        places: ``(T,)`` indices into them, layer by layer.
        values: ``(T,)``.
        counts: How many of them each layer has.
    """
    values = torch.maximum(values, pixels.index_select(0, places))
    for layer, its_values in zip(places.split(counts), values.split(counts), strict=True):
        pixels.scatter_(0, layer, its_values)
