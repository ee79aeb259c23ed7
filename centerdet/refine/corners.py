"""Outlines built from pairs of edges that meet at the object's first vertex, anywhere in the image; compiled.

Searches around a guess miss an object elsewhere. Here, two bright pixels suggest an edge, and two edges that meet at an
angle that some outline has suggest its first vertex, its direction and its aspect ratio. Only width and shape are
tried. A single edge is tried with several gaps before the first vertex and several aspect ratios, too.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from centerdet.refine.bresenham import compiled
from centerdet.refine.edges import SLACK, Ray, crossing, ray_to
from centerdet.refine.outlines import IMPOSSIBLE, Bounds, Outline, Vertices, box_axes
from centerdet.refine.screening import approx_likelihood

_MAX_ANGLE_ERROR = 0.12  # rad: two pixels fix an edge's direction to about a pixel in ten
_RATIO_STEP = 0.125  # of height / width between the values tried
_WIDTH_STEP = 2.0  # px between the widths tried
_SHAPES = (-1.0, 0.0, 1.0)  # standard deviations
_DEVIATIONS = (-1.8, -0.9, 0.0, 0.9, 1.8)  # of height / width, where one side alone is known; standard deviations
_MAX_DEVIATION = 3.0  # of height / width; standard deviations
_GAPS = (0.0, 3.0, 6.0, 9.0, 13.0)  # px between the first vertex and the first bright pixel of a side


class _Best(NamedTuple):
    """The best outlines so far: scores ``(n,)``, parameters ``(n, 6)``, and the index of the worst ``(1,)``."""

    scores: NDArray[np.float64]
    rows: NDArray[np.float64]
    worst: NDArray[np.int64]


@compiled
def outlines_from_edges(
    blurred: NDArray[np.float32], edges: NDArray[np.int64], vertices: Vertices, bounds: Bounds, keep: int
) -> NDArray[np.float64]:
    """The best outlines whose two sides at the first vertex lie on two of the edges ``(k, 4)``.

    Returns:
        Their parameters ``(keep, 6)``, or fewer rows; the best first.
    """
    best = _Best(np.full(keep, IMPOSSIBLE), np.empty((keep, 6)), np.zeros(1, np.int64))
    for i in range(len(edges)):
        for j in range(i):
            meet, x, y = crossing(edges[i], edges[j])
            if not meet:
                continue
            one, other = ray_to(x, y, edges[i]), ray_to(x, y, edges[j])
            if one.length > 0 and other.length > 0:
                _try_corner(blurred, x, y, one, other, vertices, bounds, best)
                _try_corner(blurred, x, y, other, one, vertices, bounds, best)
        _try_single_edge(blurred, edges[i], vertices, bounds, best)
    order = np.argsort(-best.scores)
    return best.rows[order[best.scores[order] > IMPOSSIBLE / 2]]


@compiled
def _try_corner(
    blurred: NDArray[np.float32],
    x: float,
    y: float,
    after: Ray,
    before: Ray,
    vertices: Vertices,
    bounds: Bounds,
    best: _Best,
) -> None:
    """Tries the outlines whose first vertex is at x, y, and whose sides to the next and last vertex are two rays."""
    if not _within_reach(x, y, vertices, bounds):
        return
    steps = int(_MAX_DEVIATION * bounds.std_aspect_ratio / _RATIO_STEP)
    for step in range(-steps, steps + 1):
        ratio = bounds.mean_aspect_ratio + step * _RATIO_STEP
        side_after, side_before = _side(vertices, 1, ratio), _side(vertices, -1, ratio)
        error = _wrap(after.angle - before.angle - (side_after.angle - side_before.angle))
        if abs(error) > _MAX_ANGLE_ERROR:
            continue
        yaw = side_after.angle + error / 2 - after.angle  # a growing yaw turns from y to x
        width = max((after.length - SLACK) / side_after.length, (before.length - SLACK) / side_before.length)
        width = max(bounds.min_width, width)
        while width <= bounds.max_width:
            _try_shapes(blurred, x, y, yaw, width, ratio, vertices, bounds, best)
            width += _WIDTH_STEP


@compiled
def _try_single_edge(
    blurred: NDArray[np.float32],
    edge: NDArray[np.int64],
    vertices: Vertices,
    bounds: Bounds,
    best: _Best,
) -> None:
    """Tries the outlines that have an edge as one side at the first vertex: the other may have no bright pixel."""
    x0, y0, x1, y1 = edge
    for first_x, first_y, last_x, last_y in ((x0, y0, x1, y1), (x1, y1, x0, y0)):  # which end is near the first vertex
        across, down = last_x - first_x, last_y - first_y
        length, angle = math.sqrt(across * across + down * down), math.atan2(down, across)
        for gap in _GAPS:
            x, y = first_x - gap * math.cos(angle), first_y - gap * math.sin(angle)
            ray = Ray(angle, length + gap)
            _try_side(blurred, x, y, ray, 1, vertices, bounds, best)
            _try_side(blurred, x, y, ray, -1, vertices, bounds, best)


@compiled
def _try_side(
    blurred: NDArray[np.float32],
    x: float,
    y: float,
    ray: Ray,
    vertex: int,
    vertices: Vertices,
    bounds: Bounds,
    best: _Best,
) -> None:
    """Tries the outlines whose first vertex is at x, y, and whose side from there to another vertex is a ray."""
    if not _within_reach(x, y, vertices, bounds):
        return
    for deviation in _DEVIATIONS:
        ratio = bounds.mean_aspect_ratio + deviation * bounds.std_aspect_ratio
        side = _side(vertices, vertex, ratio)
        width = max(bounds.min_width, (ray.length - SLACK) / side.length)
        while width <= bounds.max_width:
            _try_shapes(blurred, x, y, side.angle - ray.angle, width, ratio, vertices, bounds, best)
            width += _WIDTH_STEP


@compiled
def _within_reach(x: float, y: float, vertices: Vertices, bounds: Bounds) -> bool:
    """Whether an outline whose first vertex is at x, y can have its centre within bounds."""
    ratio = bounds.mean_aspect_ratio + _MAX_DEVIATION * bounds.std_aspect_ratio
    reach = bounds.max_width * math.sqrt(vertices.u[0] ** 2 + (vertices.v[0] * ratio) ** 2)
    within_x = bounds.min_x - reach <= x <= bounds.max_x + reach
    return within_x and bounds.min_y - reach <= y <= bounds.max_y + reach


@compiled
def _side(vertices: Vertices, index: int, ratio: float) -> Ray:
    """The side from the first vertex to another one, in the outline's own frame, for a width of 1."""
    u, v = vertices.u[index] - vertices.u[0], (vertices.v[index] - vertices.v[0]) * ratio
    return Ray(math.atan2(v, u), math.sqrt(u * u + v * v))


@compiled
def _try_shapes(
    blurred: NDArray[np.float32],
    x: float,
    y: float,
    yaw: float,
    width: float,
    ratio: float,
    vertices: Vertices,
    bounds: Bounds,
    best: _Best,
) -> None:
    """Tries a few shapes of an outline whose first vertex is at x, y; the worst row makes way for a better outline."""
    cos, sin = math.cos(yaw), math.sin(yaw)
    u, v = vertices.u[0] * width, vertices.v[0] * width * ratio
    x, y = x - u * cos - v * sin, y + u * sin - v * cos
    if not (bounds.min_x <= x <= bounds.max_x and bounds.min_y <= y <= bounds.max_y):
        return
    prior = -0.5 * ((ratio - bounds.mean_aspect_ratio) / bounds.std_aspect_ratio) ** 2
    for shape in _SHAPES:
        outline = Outline(x, y, yaw, width, width * ratio, shape)
        worst = best.worst[0]
        score = prior + approx_likelihood(blurred, box_axes(outline), vertices, best.scores[worst] - prior)
        if score > best.scores[worst]:
            best.scores[worst], best.rows[worst] = score, outline
            best.worst[0] = best.scores.argmin()


@compiled
def _wrap(angle: float) -> float:
    """The same angle in [-pi, pi]."""
    return angle - 2 * math.pi * np.rint(angle / (2 * math.pi))
