"""From four corners back to a box."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from centerdet.box import RotatedBox

_SKEW = 0.1  # a quadrilateral whose opposite sides differ by more than this fraction is no rectangle


def box_from_corners(corners: ArrayLike, *, has_heading: bool = True) -> RotatedBox:
    """The rectangle through four corners ``(4, 2)``, nose-left, nose-right, tail-right, tail-left.

    Either sense of rotation will do, as will small departures from a rectangle: opposite sides are averaged.

    Args:
        corners: x and y in pixels.
        has_heading: Whether the order says where the nose is.

    Raises:
        ValueError: If they are not finite, or not the corners of a rectangle in order.
    """
    points = np.asarray(corners, dtype=np.float64)
    if points.shape != (4, 2) or not np.isfinite(points).all():
        raise ValueError(f"a box needs four corners of two finite numbers, got {points.tolist()}")
    nose_left, nose_right, tail_right, tail_left = points
    across = ((nose_right - nose_left) + (tail_right - tail_left)) / 2
    along = ((nose_left - tail_left) + (nose_right - tail_right)) / 2
    width, height = math.hypot(*across), math.hypot(*along)
    skew = np.abs(nose_right - nose_left - (tail_right - tail_left)).max()
    lean = abs(across @ along) / max(width * height, 1e-9)
    if min(width, height) <= 0 or skew > _SKEW * 2 * max(width, height) or lean > _SKEW * 2:
        raise ValueError(f"the corners {points.round(2).tolist()} are not those of a rectangle, one after the other")
    if not has_heading and width > height:
        width, height, along = height, width, across
    yaw = math.atan2(*along)
    if not has_heading:
        yaw = _axis(yaw)
    x, y = points.mean(axis=0).tolist()
    return RotatedBox(x=x, y=y, yaw=yaw, width=width, height=height)


def _axis(yaw: float) -> float:
    """A yaw that is known up to half a turn, in (-pi/2, pi/2]."""
    return math.pi / 2 - (math.pi / 2 - yaw) % math.pi
