"""What the search in one image starts from: its log-likelihood ratios, its bright pixels, and the prior of outlines."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from centerdet.box import RotatedBox
from centerdet.refine.bresenham import PAD
from centerdet.refine.guess import Guess
from centerdet.refine.lines import Lines, Pairs, find_lines, likely_pairs
from centerdet.refine.moves import round_coordinates
from centerdet.refine.outlines import Bounds, Outline, OutlinePrior
from centerdet.refine.prior import MAX_EXTENT, ScenePrior
from centerdet.refine.settings import RefineSettings


class SearchContext(NamedTuple):
    """What stays the same during the search in one image.

    Attributes:
        llr: Log-likelihood ratios ``(H + 2 PAD, W + 2 PAD)``.
        bright: ``(n, 2)`` x and y of the pixels above the noise level.
        pairs: Pairs of them that lines may join.
        lines: The lines that explain the image best without an object.
        without_lines: The log-likelihood ratios with the pixels of these lines set to 0.
        prior: Prior around the first guess.
    """

    llr: NDArray[np.float32]
    bright: NDArray[np.int64]
    pairs: Pairs
    lines: Lines
    without_lines: NDArray[np.float32]
    prior: OutlinePrior


def prepare_search(
    pixels: NDArray[np.float32], guess: Guess, scene: ScenePrior, settings: RefineSettings
) -> SearchContext:
    """Computes what stays the same during the search in one image ``(H, W)`` with values in [0, 1]."""
    above = pixels > scene.noise_level
    # A drawn pixel below the noise level n is the larger of two uniform numbers: density 2 v / n against 1 / n.
    inside = np.log(np.maximum(2 * pixels, settings.min_likelihood_ratio))
    inside[above] = settings.bright_llr
    llr = np.zeros((pixels.shape[0] + 2 * PAD, pixels.shape[1] + 2 * PAD), np.float32)
    llr[PAD:-PAD, PAD:-PAD] = inside
    y, x = np.nonzero(above)
    bright = np.stack([x, y], axis=1).astype(np.int64)  # (n, 2)
    pairs = Pairs(*likely_pairs(llr, bright, settings.min_line))
    without_lines = llr.copy()
    lines = Lines(*find_lines(without_lines, pairs, scene.num_lines, settings.min_line, settings.polish_steps))
    bounds = _bounds(scene, *pixels.shape)
    spread = settings.sure_spread if guess.chance >= settings.sure_chance else settings.spread
    prior = OutlinePrior(allowed(mean_outline(guess.box), bounds, scene), Outline(*spread, 1.0), bounds)
    return SearchContext(llr, bright, pairs, lines, without_lines, prior)


def blur(llr: NDArray[np.float32], settings: RefineSettings) -> NDArray[np.float32]:
    """Logarithm of the blurred likelihood ratios: a pixel beside an edge then counts for it. The padding stays 0."""
    near, far = np.exp(-0.5 * (np.array([1, 2]) / settings.blur_sigma) ** 2)
    middle, near, far = (np.array([1, near, far]) / (1 + 2 * near + 2 * far)).astype(np.float32)
    image = llr[PAD - 2 : 2 - PAD, PAD - 2 : 2 - PAD]  # (H + 4, W + 4)
    ratios = np.exp(np.minimum(image, np.float32(settings.max_blurred_llr)))
    rows = middle * ratios[2:-2] + near * (ratios[1:-3] + ratios[3:-1]) + far * (ratios[:-4] + ratios[4:])
    both = middle * rows[:, 2:-2] + near * (rows[:, 1:-3] + rows[:, 3:-1]) + far * (rows[:, :-4] + rows[:, 4:])
    blurred = np.zeros_like(llr)
    blurred[PAD:-PAD, PAD:-PAD] = np.log(both)
    return blurred


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


def bounds_around(prior: OutlinePrior, reach: float) -> Bounds:
    """The bounds of centres, narrowed down to a square around the guess; ``reach`` is half of its side, px."""
    guess, bounds = prior.guess, prior.bounds
    return bounds._replace(
        min_x=max(bounds.min_x, guess.x - reach),
        max_x=min(bounds.max_x, guess.x + reach),
        min_y=max(bounds.min_y, guess.y - reach),
        max_y=min(bounds.max_y, guess.y + reach),
    )


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
