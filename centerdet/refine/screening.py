"""Fast screening of many outlines around a guess, compiled with numba."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from centerdet.refine.bresenham import PAD, compiled, half_open_sum
from centerdet.refine.outlines import (
    IMPOSSIBLE,
    MIN_HEIGHT,
    BoxAxes,
    Outline,
    OutlinePrior,
    Vertices,
    box_axes,
    vertex_pixel,
)
from centerdet.refine.settings import RefineSettings

_MAX_MEAN_LLR = 0.6  # nats a pixel: what the pixels of a good outline may reach on a blurred map


@compiled
def approx_likelihood(llr: NDArray[np.float32], axes: BoxAxes, vertices: Vertices, least: float) -> float:
    """Approximates ``log_likelihood`` by every other pixel; stops where it will hardly reach ``least``."""
    rows, columns = llr.shape[0] - PAD, llr.shape[1] - PAD
    total, pixels_ahead = 0.0, 0
    x, y = vertex_pixel(axes, vertices, -1)
    for k in range(len(vertices.u)):
        x1, y1 = vertex_pixel(axes, vertices, k)
        if not (-PAD <= x1 < columns and -PAD <= y1 < rows):
            return IMPOSSIBLE
        pixels_ahead += max(abs(x1 - x), abs(y1 - y))
        x, y = x1, y1
    for k in range(len(vertices.u)):
        x1, y1 = vertex_pixel(axes, vertices, k)
        total += 2 * half_open_sum(llr, x, y, x1, y1, 2)
        pixels_ahead -= max(abs(x1 - x), abs(y1 - y))
        if total + _MAX_MEAN_LLR * pixels_ahead < least:
            return IMPOSSIBLE
        x, y = x1, y1
    return total


@compiled
def keep_best(
    llr: NDArray[np.float32],
    vertices: Vertices,
    prior: OutlinePrior,
    draws: NDArray[np.float32],
    keep: int,
) -> NDArray[np.float64]:
    """The best of many outlines around a guess; ``draws`` ``(n, 6)`` are their distances from it, in spreads.

    Returns:
        Their parameters ``(keep, 6)``, or fewer rows; the best first.
    """
    guess, spread, bounds = prior.guess, prior.spread, prior.bounds
    scores, rows = np.full(keep, IMPOSSIBLE), np.empty((keep, 6))
    worst = 0
    for i in range(len(draws)):
        drawn = Outline(
            guess.x + draws[i, 0] * spread.x,
            guess.y + draws[i, 1] * spread.y,
            guess.yaw + draws[i, 2] * spread.yaw,
            guess.width + draws[i, 3] * spread.width,
            guess.height + draws[i, 4] * spread.height,
            guess.shape + draws[i, 5] * spread.shape,
        )
        if not (bounds.min_width <= drawn.width <= bounds.max_width and drawn.height > MIN_HEIGHT):
            continue
        ratio = (drawn.height / drawn.width - bounds.mean_aspect_ratio) / bounds.std_aspect_ratio
        log_ratio = -0.5 * ratio**2
        score = log_ratio + approx_likelihood(llr, box_axes(drawn), vertices, scores[worst] - log_ratio)
        if score > scores[worst]:
            scores[worst], rows[worst] = score, drawn
            worst = int(scores.argmin())
    order = np.argsort(-scores)
    return rows[order[scores[order] > IMPOSSIBLE / 2]]


def draw_offsets(settings: RefineSettings) -> NDArray[np.float32]:
    """Offsets of outlines from a guess, in spreads: ``(num_offsets, 6)``."""
    offsets = np.random.default_rng(0).standard_normal((settings.num_offsets, 6), np.float32)
    offsets[::4, :5] *= 2
    offsets[0] = 0
    return offsets
