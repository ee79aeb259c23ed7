"""Edges that pairs of bright pixels suggest, and where two of them meet, compiled with numba."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from centerdet.refine.bresenham import compiled, half_open_sum

_MIN_EDGE, MAX_EDGE = 6.0, 60.0  # px: distance of two pixels on an edge
_MIN_MEAN_LLR = 0.2  # nats a pixel of a blurred edge; the background has -0.4
_MIN_SINE = 0.1  # of the angle between two edges that meet
_SAME_EDGE = 1.3  # px: an edge whose ends are so near another one is the same
SLACK = 3.0  # px: how far bright pixels may lie beyond an edge's end


class Ray(NamedTuple):
    """Direction (rad, from x to y) and length of a side of an outline as seen from its first vertex."""

    angle: float
    length: float


@compiled
def likely_edges(blurred: NDArray[np.float32], points: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The ``count`` segments between bright pixels ``(n, 2)`` with the highest sums: ``(k, 4)`` x, y, x, y."""
    n = len(points)
    edges, scores = np.empty((n * n // 2 + 1, 4), np.int64), np.empty(n * n // 2 + 1)
    k = 0
    for i in range(n):
        x0, y0 = points[i]
        for j in range(i):
            x1, y1 = points[j]
            distance = max(abs(x0 - x1), abs(y0 - y1))
            if _MIN_EDGE <= distance <= MAX_EDGE:
                scores[k] = half_open_sum(blurred, x0, y0, x1, y1)
                if scores[k] >= _MIN_MEAN_LLR * distance:
                    edges[k, 0], edges[k, 1], edges[k, 2], edges[k, 3] = x0, y0, x1, y1
                    k += 1
    kept = np.empty((count, 4), np.int64)
    num_kept = 0
    for index in np.argsort(-scores[:k]):
        if num_kept < count and not _within_another(edges[index], kept[:num_kept]):
            kept[num_kept] = edges[index]
            num_kept += 1
    return kept[:num_kept]


@compiled
def _within_another(edge: NDArray[np.int64], others: NDArray[np.int64]) -> bool:
    """Whether both ends of an edge lie within about a pixel of one of other edges."""
    first_x, first_y, last_x, last_y = edge
    for x0, y0, x1, y1 in others:
        across, down = x1 - x0, y1 - y0
        length = math.sqrt(across * across + down * down)
        inside = True
        for x, y in ((first_x, first_y), (last_x, last_y)):
            aside = abs((x - x0) * down - (y - y0) * across) / length
            along = ((x - x0) * across + (y - y0) * down) / length
            inside &= aside <= _SAME_EDGE and -_SAME_EDGE <= along <= length + _SAME_EDGE
        if inside:
            return True
    return False


@compiled
def crossing(edge: NDArray[np.int64], other: NDArray[np.int64]) -> tuple[bool, float, float]:
    """Whether the straight lines along two edges cross, not too flatly, and where."""
    x0, y0, x1, y1 = edge
    other_x0, other_y0, other_x1, other_y1 = other
    across, down = x1 - x0, y1 - y0
    other_across, other_down = other_x1 - other_x0, other_y1 - other_y0
    cross = across * other_down - down * other_across
    lengths = math.sqrt((across**2 + down**2) * (other_across**2 + other_down**2))
    if abs(cross) < _MIN_SINE * lengths:
        return False, 0.0, 0.0
    way = ((other_x0 - x0) * other_down - (other_y0 - y0) * other_across) / cross
    return True, x0 + way * across, y0 + way * down


@compiled
def ray_to(x: float, y: float, edge: NDArray[np.int64]) -> Ray:
    """An edge as seen from a point on its straight line; length 0 where the point lies within the edge, or far away."""
    x0, y0, x1, y1 = edge
    across, down = x1 - x0, y1 - y0
    length = math.sqrt(across * across + down * down)
    first = ((x0 - x) * across + (y0 - y) * down) / length
    last = first + length
    if first >= -SLACK and last <= MAX_EDGE + SLACK:
        return Ray(math.atan2(down, across), last)
    if last <= SLACK and -first <= MAX_EDGE + SLACK:
        return Ray(math.atan2(-down, -across), -first)
    return Ray(0.0, 0.0)
