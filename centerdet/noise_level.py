"""Measures the noise level of an image: the value that its uniform background never exceeds.

Pixel values are dense below the level and sparse above it. The level is where the density drops. Weights for one level
serve images of another: ``rescale_background`` moves the images to the level of the weights.
"""

from __future__ import annotations

import numbers
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

NoiseLevel = float | Literal["auto"]  # upper bound of the background in (0, 1], or "auto": measured in each image

DEFAULT_LEVEL = 0.8  # noise level of ``make_data``: images of about this level get exactly this one
_BINS = 4096  # bins of [0, 1] for images of at least 40,000 pixels: ten pixels a bin
_PIXELS_PER_BIN = 10
_SNAP = 0.0007  # levels so near the default are the default: three bins
_WINDOW_COUNT = 100  # pixels in the window whose density is compared with the background's: known to 10 %
_EDGE_COUNT = 3  # pixels in a bin that still belong to the background; above it, a bin holds 0.2
_EDGE_FRACTION = 0.08  # the same, relative to the background's bins, for images of few grey levels
_CHUNKS = 16  # parts of the background whose densities must agree
_MAX_UNEVENNESS = 0.15  # relative; lines raise the density near the level by 6 % at most
_MIN_BACKGROUND = 0.6  # share of the pixels that must lie in the background
_MIN_LEVEL = 0.1


def estimate_noise_level(image: NDArray[np.floating]) -> float | None:
    """Estimates the upper bound of a uniform background.

    The result is a little above the true level rather than below, since background pixels above the level would pass
    for drawn ones. Images with the 256 levels of 8-bit files get the highest level of their background. Results that
    differ from ``DEFAULT_LEVEL`` by 0.0007 at most, or by less than half a grey level, are ``DEFAULT_LEVEL``: images
    of default scenes are treated exactly as if nothing had been measured.

    Args:
        image: ``(H, W)`` with values in [0, 1].

    Returns:
        The level in (0, 1], or ``None`` if the background is not uniform from 0 on, as in photographs or in images
        without noise. Images of 200 x 200 px with levels from 0.5 to 1 are measured to 0.001.
    """
    values = np.asarray(image, np.float32).ravel()
    grey_levels = _is_8_bit(values)
    if grey_levels:
        bins, half_step = 255, 0.5 / 255
        counts = np.bincount((values * 255 + 0.5).astype(np.intp), minlength=256)
    else:
        bins, half_step = min(_BINS, max(64, values.size // _PIXELS_PER_BIN)), 0.0
        counts = np.bincount((values * bins).astype(np.intp), minlength=bins + 1)
        counts[bins - 1] += counts[bins]  # values of exactly 1
        counts = counts[:bins]
    edge = _last_dense_bin(counts)
    if edge is None or not _is_uniform(counts, edge, values.size):
        return None
    level = min(1.0, (edge if grey_levels else edge + 1) / bins)
    if abs(level - DEFAULT_LEVEL) <= max(_SNAP, half_step):
        return DEFAULT_LEVEL
    return level if level >= _MIN_LEVEL else None


def check_noise_level(value: Any) -> NoiseLevel:
    """Returns a valid noise level.

    Raises:
        ValueError: If it is neither a number in (0, 1] nor "auto".
    """
    if isinstance(value, str) and value == "auto":
        return "auto"
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < float(value) <= 1:
        raise ValueError(f"noise_level must lie in (0, 1] or be 'auto', got {str(value)[:40]!r}")
    return float(value)


def rescale_background(
    images: NDArray[np.float32], levels: NDArray[np.float32], *, trained: float
) -> NDArray[np.float32]:
    """Moves images to the noise level that a network was trained for.

    The log-likelihood ratio of a pixel v of a background up to n depends on v / n alone, and is a constant above n.

    Args:
        images: ``(B, H, W)`` in [0, 1].
        levels: ``(B,)``, the noise level of each image.
        trained: Noise level of the network.

    Returns:
        ``(B, H, W)`` images with the same log-likelihood ratios at the network's level. Those of that level are the
        same bits; in the others, pixels above the background are ``2 * trained``.
    """
    others = np.nonzero(levels != np.float32(trained))[0]
    if len(others) == 0:
        return images
    moved = images.copy()
    for index in others:
        image, level = images[index], levels[index]
        background = np.minimum(image * (np.float32(trained) / level), np.float32(trained))
        moved[index] = np.where(image > level, np.float32(2 * trained), background)
    return moved


def _is_8_bit(values: NDArray[np.float32]) -> bool:
    """Whether all values are multiples of 1 / 255; a sample decides."""
    sample = values[:: max(1, values.size // 512)] * 255
    return bool(np.abs(sample - np.rint(sample)).max() < 1e-3)


def _last_dense_bin(counts: NDArray[np.int64]) -> int | None:
    """The highest bin that belongs to the background; ``None`` if there is no dense background."""
    density = float(np.median(counts[: len(counts) // 4]))  # pixels a bin, well below the level
    if density < 1:
        return None
    width = max(1, round(_WINDOW_COUNT / density))
    sums = np.cumsum(counts)
    windows = sums[width:] - sums[:-width]  # window i holds bins i + 1 to i + width
    dense = np.nonzero(windows > 0.5 * density * width)[0]
    if len(dense) == 0:
        return None
    edge = int(dense[-1]) + 1
    least = max(_EDGE_COUNT, _EDGE_FRACTION * density)
    if width == 1:  # the level may lie within the next bin
        return edge + int(edge + 1 < len(counts) and counts[edge + 1] >= least)
    edge += width // 4  # surely still below the level: half of the window is
    while (counts[edge + 1 : edge + 3] >= least).any():  # chance may leave one bin of the background empty
        edge += 1
    return edge + int(edge + 1 < len(counts) and counts[edge + 1] > 0)


def _is_uniform(counts: NDArray[np.int64], edge: int, size: int) -> bool:
    """Whether the bins below the edge hold most pixels, and about equally many."""
    if edge < _CHUNKS or counts[:edge].sum() < _MIN_BACKGROUND * size:
        return False
    inside = counts[1:edge]  # of 8-bit images, the first and the last bin are half as wide
    chunks = np.add.reduceat(inside, np.arange(_CHUNKS) * len(inside) // _CHUNKS)
    widths = np.diff(np.append(np.arange(_CHUNKS) * len(inside) // _CHUNKS, len(inside)))
    densities = chunks / widths
    return bool(np.abs(densities / densities.mean() - 1).max() <= _MAX_UNEVENNESS)
