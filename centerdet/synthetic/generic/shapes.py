"""Random shapes with a nose: outlines of darts, bottles, drops, arrows, letters, branches and irregular polygons.

The heading follows from the shape alone, so that a network can learn it. Shapes that are symmetric about an axis head
along it, others along the longer side of their smallest enclosing rectangle; the nose is the lighter end, away from the
centroid. Shapes with two equal ends carry a mark at the nose.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from shapely import LineString, MultiLineString, Polygon, affinity, unary_union

Points = NDArray[np.float64]  # (N, 2): across and along the heading, in the box's own frame, px from its centre

MIN_IMBALANCE = 0.04  # distance of centroid and middle, as a fraction of the length: below it, the ends look equal
MIN_THICKNESS = 1.5  # px of strokes
GLYPHS = "AFGJKLPRTUVY4679"  # glyphs whose ends differ
GLYPH_PX = 160  # height at which glyphs are traced


class Shape(NamedTuple):
    """A shape in the frame of its box.

    Attributes:
        rings: Outline, and outlines of holes.
        mark: Outline of a mark at the nose, or ``None``.
        width: Extent across the heading, px.
        height: Extent along the heading, px.
    """

    rings: tuple[Points, ...]
    mark: Points | None
    width: float
    height: float


def draw_shape(rng: np.random.Generator, length: float) -> Shape:
    """Draws a random shape.

    Args:
        rng: The source of randomness.
        length: Its longer side, px.
    """
    while True:
        kind = _KINDS[int(rng.integers(len(_KINDS)))]
        shape = kind(rng, length)
        if shape is not None:
            return shape


def _dart(rng: np.random.Generator, length: float) -> Shape | None:
    """Nose, two wing tips, and a notch or a rounding at the tail."""
    wings, tail = rng.uniform(0, 0.5), rng.uniform(-0.15, 0.4)
    vertices = [(0, 1), (-0.5, wings), (0, tail), (0.5, wings)]
    return _symmetric(np.array(vertices) * (rng.uniform(0.35, 1.2), 1), length)


def _profile(rng: np.random.Generator, length: float) -> Shape | None:
    """A few random widths between tail and nose, joined by lines or by a smooth curve."""
    count = int(rng.integers(3, 7))
    stations = np.sort(rng.random(count))
    stations[[0, -1]] = 0, 1
    widths = rng.uniform(0.1, 1, count) * np.where(rng.random(count) < 0.2, 0.3, 1)
    widths[-1] *= rng.choice([0.0, 0.3, 1])
    along = stations
    if rng.random() < 0.5:
        along = np.linspace(0, 1, 40)
        widths = np.interp(along, stations, widths)
        widths = np.convolve(np.pad(widths, 6, "edge"), np.ones(13) / 13, "valid")
    half = widths / widths.max() * rng.uniform(0.12, 0.6)
    right = np.stack([half, along], 1)
    return _symmetric(np.concatenate([right, right[::-1] * (-1, 1)]), length)


def _egg(rng: np.random.Generator, length: float) -> Shape | None:
    """An ellipse that is wider towards the tail: an egg, a drop, a half-moon."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    along = np.sin(angle)
    across = np.cos(angle) * (1 - rng.uniform(0.2, 0.95) * along) * rng.uniform(0.2, 0.8)
    cut = rng.uniform(-1, -0.3) if rng.random() < 0.4 else -1.0
    return _symmetric(np.stack([across, along.clip(min=cut)], 1), length)


def _marked(rng: np.random.Generator, length: float) -> Shape | None:
    """A rectangle, capsule or ellipse, whose ends look equal, with a mark at the nose."""
    ratio, roundness = rng.uniform(0.3, 1.0), rng.choice([1.0, 0.5, 0.15])
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    body = np.stack([np.cos(angle), np.sin(angle)], 1)
    body = np.sign(body) * np.abs(body) ** roundness * (ratio, 1) * length / 2
    side, depth = rng.uniform(0.3, 0.8), rng.uniform(0.15, 0.35)
    middle = 0.9 - depth
    mark = np.stack([np.cos(angle) * side * ratio, middle + np.sin(angle) * depth], 1) * length / 2
    return Shape((body,), mark, ratio * length, length)


def _strokes(rng: np.random.Generator, length: float) -> Shape | None:
    """Symmetric branches: arrows, forks, T and Y shapes, as strokes of one thickness."""
    count = int(rng.integers(1, 3))
    lines: list[list[tuple[float, float]]] = [[(0, 0), (0, 1)]]  # the stem
    for _ in range(count):
        start, end, side = rng.random(), rng.random(), rng.uniform(0.15, 0.6)
        lines += [[(0, start), (side, end)], [(0, start), (-side, end)]]
    thickness = max(MIN_THICKNESS / length, rng.uniform(0.04, 0.2))
    outline = MultiLineString(lines).buffer(thickness / 2, cap_style=str(rng.choice(["flat", "round"])))
    return _of_polygon(outline, length, symmetric=True)


def _branch(rng: np.random.Generator, length: float) -> Shape | None:
    """A bent stroke with unequal ends: hooks, L and J shapes, worms."""
    turns = np.cumsum(rng.normal(0, 0.7, int(rng.integers(3, 7))))
    points = np.cumsum(np.stack([np.sin(turns), np.cos(turns)], 1) * rng.uniform(0.5, 1, (len(turns), 1)), 0)
    spread = np.ptp(points, 0).max()
    thickness = max(MIN_THICKNESS / length, rng.uniform(0.05, 0.2)) * spread
    parts = [LineString(points).buffer(thickness / 2)]
    if rng.random() < 0.6:
        parts.append(LineString(points[:2]).buffer(thickness * rng.uniform(0.7, 1.2)))
    return _of_polygon(unary_union(parts), length, symmetric=False)


def _irregular(rng: np.random.Generator, length: float) -> Shape | None:
    """A polygon around its centre, with random angles and radii."""
    count = int(rng.integers(3, 11))
    angle = np.sort((np.arange(count) + rng.uniform(-0.35, 0.35, count)) * 2 * np.pi / count)
    radius = rng.uniform(0.35, 1, count)
    points = np.stack([np.cos(angle), np.sin(angle)], 1) * radius[:, None]
    return _of_polygon(Polygon(points * (rng.uniform(0.5, 1), 1)), length, symmetric=False)


def _glyph(rng: np.random.Generator, length: float) -> Shape | None:
    """A letter or digit."""
    canvas = np.zeros((2 * GLYPH_PX, 2 * GLYPH_PX), np.uint8)
    font = int(rng.choice([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX]))
    glyph = str(rng.choice(list(GLYPHS)))
    cv2.putText(canvas, glyph, (GLYPH_PX // 2, 3 * GLYPH_PX // 2), font, 5.0, 255, int(rng.integers(12, 36)))
    found, levels = cv2.findContours(canvas, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_TC89_L1)
    rings = [ring[:, 0].astype(float) * (1, -1) for ring in found if len(ring) >= 3]
    if len(rings) != len(found):
        return None
    outer = [ring for ring, level in zip(rings, levels[0], strict=True) if level[3] < 0]
    holes = [ring for ring, level in zip(rings, levels[0], strict=True) if level[3] >= 0]
    return _of_polygon(Polygon(outer[0], holes), length, symmetric=False) if len(outer) == 1 else None


_KINDS: tuple[Callable[[np.random.Generator, float], Shape | None], ...] = (
    _dart,
    _profile,
    _profile,  # twice as often: it has the most forms
    _egg,
    _marked,
    _strokes,
    _branch,
    _irregular,
    _glyph,
)


def _symmetric(points: Points, length: float) -> Shape | None:
    return _of_polygon(Polygon(points), length, symmetric=True)


def _of_polygon(polygon: Polygon, length: float, *, symmetric: bool) -> Shape | None:
    """Turns, shifts and scales a polygon into the frame of its box; ``None`` if invalid or with equal ends."""
    if not isinstance(polygon, Polygon) or not polygon.is_valid or polygon.is_empty:
        return None
    if not symmetric:
        corners = np.array(polygon.minimum_rotated_rectangle.exterior.coords)
        sides = np.diff(corners, axis=0)[:2]
        long_side = sides[int(np.argmax(np.hypot(*sides.T)))]
        polygon = affinity.rotate(polygon, 90 - math.degrees(math.atan2(long_side[1], long_side[0])), origin=(0, 0))
    left, low, right, high = polygon.bounds
    scale = length / max(right - left, high - low)
    imbalance = polygon.centroid.y - (low + high) / 2
    if abs(imbalance) < MIN_IMBALANCE * (high - low) or min(right - left, high - low) * scale < 2 * MIN_THICKNESS:
        return None
    flip = 1 if imbalance < 0 else -1  # the nose is the lighter end; half a turn keeps the shape's chirality
    middle = ((left + right) / 2, (low + high) / 2)
    rings = [(np.array(ring.coords)[:-1] - middle) * scale * flip for ring in (polygon.exterior, *polygon.interiors)]
    return Shape(tuple(rings), None, (right - left) * scale, (high - low) * scale)
