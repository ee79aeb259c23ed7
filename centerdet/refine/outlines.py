"""How well an outline explains an image, compiled: the likelihood, the prior, and a quick look at many outlines.

The posterior of an outline's parameters is its prior times the exponential of the evidence summed over the pixels that
the outline covers. Parameters are a row of six: x, y, yaw, width, height, and shape (a standard normal number, see
``ScenePrior.play``).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from centerdet.refine.bresenham import PAD, compiled, edge_pixels, edge_sum

IMPOSSIBLE = -1e9
_HOPE = 0.6  # nats: what a pixel of a hazy outline may well bring


@compiled
def frame(parameters: NDArray[np.float64]) -> tuple[float, ...]:
    """What ``corner`` needs of an outline's parameters: x, y, its width's direction times the width, its height's."""
    x, y, yaw, width, height, shape = parameters
    cos, sin = math.cos(yaw), math.sin(yaw)
    return x, y, width * cos, -width * sin, height * sin, height * cos, shape


@compiled
def corner(frame: tuple[float, ...], corner: NDArray[np.float64]) -> tuple[int, int]:
    """Pixel x, y of one corner ``(4,)`` of an outline: unit coordinates, and what one of shape adds to them."""
    x, y, width_x, width_y, height_x, height_y, shape = frame
    u, v = corner[0] + shape * corner[2], corner[1] + shape * corner[3]
    return int(np.rint(x + u * width_x + v * height_x)), int(np.rint(y + u * width_y + v * height_y))


@compiled
def likelihood(evidence: NDArray[np.float32], parameters: NDArray[np.float64], outline: NDArray[np.float64]) -> float:
    """Evidence summed over an outline's pixels; ``evidence`` is ``(H + 2 PAD, W + 2 PAD)``."""
    rows, columns = evidence.shape[0] - PAD, evidence.shape[1] - PAD
    box = frame(parameters)
    total = 0.0
    x0, y0 = corner(box, outline[-1])
    for k in range(len(outline)):
        x1, y1 = corner(box, outline[k])
        if not (-PAD <= x1 < columns and -PAD <= y1 < rows and -PAD <= x0 < columns and -PAD <= y0 < rows):
            return IMPOSSIBLE
        total += edge_sum(evidence, x0, y0, x1, y1)
        x0, y0 = x1, y1
    return total


@compiled
def cover(
    evidence: NDArray[np.float32], parameters: NDArray[np.float64], outline: NDArray[np.float64], reach: int
) -> None:
    """Puts 0 where an outline runs, and up to ``reach`` pixels around it."""
    rows, columns = evidence.shape
    box = frame(parameters)
    x0, y0 = corner(box, outline[-1])
    for k in range(len(outline)):
        x1, y1 = corner(box, outline[k])
        for x, y in edge_pixels(x0, y0, x1, y1):
            left, right = max(0, x + PAD - reach), min(columns, x + PAD + reach + 1)
            top, bottom = max(0, y + PAD - reach), min(rows, y + PAD + reach + 1)
            evidence[top:bottom, left:right] = 0
        x0, y0 = x1, y1


@compiled
def log_prior(
    parameters: NDArray[np.float64], guess: NDArray[np.float64], spread: NDArray[np.float64], laws: NDArray[np.float64]
) -> float:
    """Of parameters, given a detector's guess: heavy-tailed around it, and the laws of the scenes.

    ``laws``: smallest and largest width, mean and deviation of height / width, smallest and largest x, then y.
    """
    x, y, _, width, height, shape = parameters
    inside = laws[4] <= x <= laws[5] and laws[6] <= y <= laws[7]
    if not (inside and laws[0] <= width <= laws[1] and height > 4.0 and abs(shape) < 3.5):
        return IMPOSSIBLE
    distance = 0.0
    for i in range(5):
        away = parameters[i] - guess[i]
        if i == 2:
            away = math.atan2(math.sin(away), math.cos(away))
        distance += (away / spread[i]) ** 2
    ratio = (height / width - laws[2]) / laws[3]
    return -0.5 * ratio**2 - 0.5 * shape**2 - math.log(width) - 3.0 * math.log(1 + distance / 5)


@compiled
def _glance(evidence: NDArray[np.float32], box: tuple[float, ...], outline: NDArray[np.float64], least: float) -> float:
    """About ``likelihood``: every other pixel; given up where it will hardly reach ``least``."""
    rows, columns = evidence.shape[0] - PAD, evidence.shape[1] - PAD
    total, ahead = 0.0, 0
    x, y = corner(box, outline[-1])
    for k in range(len(outline)):
        x1, y1 = corner(box, outline[k])
        if not (-PAD <= x1 < columns and -PAD <= y1 < rows):
            return IMPOSSIBLE
        ahead += max(abs(x1 - x), abs(y1 - y))
        x, y = x1, y1
    for k in range(len(outline)):
        x1, y1 = corner(box, outline[k])
        total += 2 * edge_sum(evidence, x, y, x1, y1, 2)
        ahead -= max(abs(x1 - x), abs(y1 - y))
        if total + _HOPE * ahead < least:
            return IMPOSSIBLE
        x, y = x1, y1
    return total


@compiled
def screen(
    evidence: NDArray[np.float32],
    outline: NDArray[np.float64],
    guess: NDArray[np.float64],
    spread: NDArray[np.float64],
    laws: NDArray[np.float64],
    draws: NDArray[np.float32],
    keep: int,
) -> NDArray[np.float64]:
    """The best of many outlines around a guess, ``draws`` ``(n, 6)`` times the spread away from it.

    Returns:
        ``(keep, 6)`` or fewer, the best first.
    """
    best = np.full((keep, 7), IMPOSSIBLE)
    worst = 0
    drawn = guess.copy()
    for i in range(len(draws)):
        for k in range(6):
            drawn[k] = guess[k] + draws[i, k] * spread[k]
        if not (laws[0] <= drawn[3] <= laws[1] and drawn[4] > 4.0):
            continue
        prior = -0.5 * ((drawn[4] / drawn[3] - laws[2]) / laws[3]) ** 2
        value = prior + _glance(evidence, frame(drawn), outline, best[worst, 0] - prior)
        if value > best[worst, 0]:
            best[worst, 0] = value
            best[worst, 1:] = drawn
            worst = best[:, 0].argmin()
    best = best[np.argsort(-best[:, 0])]
    return best[best[:, 0] > IMPOSSIBLE / 2, 1:]


@compiled
def round_whole(parameters: NDArray[np.float64]) -> None:
    """Centre and width to whole pixels."""
    for k in (0, 1, 3):
        parameters[k] = np.rint(parameters[k])
