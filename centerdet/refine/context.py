"""What the search in one image starts from: its log-likelihood ratios, its bright pixels, and the prior of outlines."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from centerdet.box import RotatedBox
from centerdet.refine.bresenham import PAD
from centerdet.refine.lines import likely_pairs
from centerdet.refine.mcmc import round_coordinates
from centerdet.refine.outlines import Bounds, Outline, OutlinePrior
from centerdet.refine.prior import MAX_EXTENT, ScenePrior
from centerdet.refine.settings import RefineSettings


class SearchContext(NamedTuple):
    """What stays the same during the search in one image.

    Attributes:
        llr: Log-likelihood ratios ``(H + 2 PAD, W + 2 PAD)``.
        bright: ``(n, 2)`` x and y of the pixels above the noise level.
        pairs: ``(k, 4)`` pairs of them that lines may join.
        prior: Prior around the first guess.
    """

    llr: NDArray[np.float32]
    bright: NDArray[np.int64]
    pairs: NDArray[np.int64]
    prior: OutlinePrior


def prepare_search(
    pixels: NDArray[np.float32], guess: RotatedBox, scene: ScenePrior, settings: RefineSettings
) -> SearchContext:
    """Computes what stays the same during the search in one image ``(H, W)`` with values in [0, 1]."""
    pixels = np.ascontiguousarray(pixels)
    above = pixels > scene.noise_level
    # A drawn pixel below the noise level n is the larger of two uniform numbers: density 2 v / n against 1 / n.
    dark = np.log(np.maximum(2 * pixels, settings.min_likelihood_ratio))
    llr = np.pad(np.where(above, np.float32(settings.bright_llr), dark), PAD)
    y, x = np.nonzero(above)
    bright = np.stack([x, y], axis=1).astype(np.int64)  # (n, 2)
    bounds = _bounds(scene, *pixels.shape)
    prior = OutlinePrior(allowed(mean_outline(guess), bounds, scene), Outline(*settings.spread, 1.0), bounds)
    return SearchContext(llr, bright, likely_pairs(llr, bright, settings.min_line), prior)


def blur(llr: NDArray[np.float32], settings: RefineSettings) -> NDArray[np.float32]:
    """Logarithm of the blurred likelihood ratios: a pixel beside an edge then counts for it."""
    ratios = np.exp(np.minimum(llr, np.float32(settings.max_blurred_llr)))
    return np.log(cv2.GaussianBlur(ratios, (0, 0), settings.blur_sigma))


def unexplained(llr: NDArray[np.float32], bright: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of the bright pixels ``(n, 2)`` that nothing explains yet."""
    return bright[llr[bright[:, 1] + PAD, bright[:, 0] + PAD] > 0]


def mean_outline(box: RotatedBox) -> Outline:
    """The outline of a box, of mean shape."""
    x, y, yaw, width, height = (float(value) for value in box.to_array())  # compiled code wants floats
    return Outline(x, y, yaw, min(width, MAX_EXTENT), min(height, MAX_EXTENT), 0.0)  # a network's may be any number


def allowed(outline: Outline, bounds: Bounds, scene: ScenePrior) -> Outline:
    """The nearest outline whose width and centre are within bounds."""
    outline = outline._replace(
        x=min(max(outline.x, bounds.min_x), bounds.max_x),
        y=min(max(outline.y, bounds.min_y), bounds.max_y),
        width=min(max(outline.width, bounds.min_width), bounds.max_width),
    )
    return round_coordinates(outline) if scene.integer_coordinates else outline


def _bounds(scene: ScenePrior, rows: int, columns: int) -> Bounds:
    """Widths and centres that occur in images of a size."""
    margin = float(scene.margin)
    low, high = scene.width_range
    mean, std = scene.aspect_ratio
    return Bounds(
        min_width=float(low),
        max_width=float(high),
        min_x=margin,
        max_x=columns - 1 - margin,
        min_y=margin,
        max_y=rows - 1 - margin,
        mean_aspect_ratio=float(mean),
        std_aspect_ratio=float(std),
    )
