"""The rotated box, its geometry, and THE convention of this library: axes, heading, units.

* Images are indexed ``[y, x]``. x grows to the right, y grows DOWN. An integer coordinate is the centre of a pixel.
* Lengths are in pixels, angles in radians.
* ``width`` is the extent across the heading, ``height`` the extent along it.
* The point ``(u, v)`` in the axes of the box (u across the heading, v along it) has the image coordinates::

      x + u * cos(yaw) + v * sin(yaw),  y - u * sin(yaw) + v * cos(yaw)

  The heading therefore points to ``(sin yaw, cos yaw)``: DOWN at yaw 0, to the right at yaw pi/2. An increasing yaw
  turns the box counter-clockwise on the screen, opposite to OpenCV and mmrotate. "Left" is ``u < 0``: the screen's left
  where the nose points down, its right where the nose points up.

Arrays of boxes have the last axis ``(x, y, yaw, width, height)``. "No box" is ``None``. Only the functions of the task
(``make_data``, ``score_iou``) write it as five NaN.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

MAX_SKEW = 0.1  # fraction by which opposite sides of a labelled rectangle may differ: hand-drawn corners are not exact

# Corners (u, v) of the unit box in its axes: nose-left, nose-right, tail-right, tail-left.
_UNIT_CORNERS = np.array([(-0.5, 0.5), (0.5, 0.5), (0.5, -0.5), (-0.5, -0.5)])


@dataclass(frozen=True, slots=True)
class RotatedBox:
    """A rotated box with a heading; the convention is in the module's docstring.

    Attributes:
        x: Centre, px to the right.
        y: Centre, px down.
        yaw: Direction of the heading ``(sin yaw, cos yaw)``, rad.
        width: Extent across the heading, px, > 0.
        height: Extent along the heading, px, > 0.

    Raises:
        ValueError: If a number is not finite or a length is not positive.
    """

    x: float
    y: float
    yaw: float
    width: float
    height: float

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, self._values())):
            raise ValueError(f"a box needs five finite numbers, got {self}; use None for 'no box'")
        if self.width <= 0 or self.height <= 0:
            raise ValueError(f"a box needs width and height above 0 px, got {self.width} x {self.height}")

    @classmethod
    def from_array(cls, array: ArrayLike) -> RotatedBox | None:
        """Converts ``(x, y, yaw, width, height)`` to a box; five NaN, the task's "no box", give ``None``.

        Raises:
            ValueError: If the shape is not ``(5,)``, or the numbers are not those of a box.
        """
        values = np.asarray(array, dtype=np.float64)
        if values.shape != (5,):
            raise ValueError(f"a box is five numbers (x, y, yaw, width, height), got shape {values.shape}")
        if np.isnan(values).all():
            return None
        return cls(*values.tolist())

    def to_array(self) -> NDArray[np.float64]:
        """Returns ``(x, y, yaw, width, height)``, shape ``(5,)``."""
        return np.array(self._values())

    def corners(self) -> NDArray[np.float64]:
        """Returns the corners ``(4, 2)`` as ``(x, y)``: nose-left, nose-right, tail-right, tail-left.

        They follow each other counter-clockwise on the screen.
        """
        return box_corners(self.to_array()[None])[0]

    def _values(self) -> tuple[float, float, float, float, float]:
        return self.x, self.y, self.yaw, self.width, self.height  # ``dataclasses.astuple`` takes ten times as long

    def nose(self) -> NDArray[np.float64]:
        """Returns the middle ``(x, y)`` of the side that the heading points to, shape ``(2,)``."""
        return self.corners()[:2].mean(axis=0)


@dataclass(frozen=True, slots=True)
class Detection:
    """A detected object.

    Attributes:
        box: The predicted box.
        score: Confidence in [0, 1]. For a calibrated detector, the probability that the box is correct (IoU > 0.7).
        has_heading: Whether the yaw tells nose from tail. If not, it is the direction of an axis, in (-pi/2, pi/2].
    """

    box: RotatedBox
    score: float
    has_heading: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Returns ``score``, ``box`` (a dictionary of its five numbers) and ``has_heading``, ready for JSON."""
        return {"score": self.score, "box": asdict(self.box), "has_heading": self.has_heading}


def box_to_image(boxes: ArrayLike, points: ArrayLike) -> NDArray[np.float64]:
    """Converts points (u, v) in the axes of boxes to image coordinates (x, y).

    Args:
        boxes: ``(N, 5)``.
        points: ``(N, K, 2)``, or ``(K, 2)`` for the same points in each box; px.

    Returns:
        ``(N, K, 2)``, px.
    """
    x, y, yaw, _, _ = np.asarray(boxes, dtype=np.float64).T[..., None]  # each (N, 1)
    u, v = np.moveaxis(np.asarray(points, dtype=np.float64), -1, 0)  # each (N, K)
    return np.stack([x + u * np.cos(yaw) + v * np.sin(yaw), y - u * np.sin(yaw) + v * np.cos(yaw)], axis=-1)


def box_corners(boxes: ArrayLike) -> NDArray[np.float64]:
    """Returns the corners of boxes, in the order of ``RotatedBox.corners``: ``(N, 5)`` -> ``(N, 4, 2)``."""
    boxes = np.asarray(boxes, dtype=np.float64)
    return box_to_image(boxes, _UNIT_CORNERS * boxes[:, None, 3:])


def paired_iou(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Returns the intersection over union of pairs of boxes.

    Args:
        first: ``(N, 5)``.
        second: ``(N, 5)``; box i is paired with box i of ``first``.

    Returns:
        ``(N,)`` in [0, 1]; 0 where both areas are 0.
    """
    import shapely  # here, since detection does not need it: an exported model runs without shapely

    one, other = (shapely.polygons(box_corners(boxes)) for boxes in (first, second))
    intersection = shapely.area(shapely.intersection(one, other))
    union = shapely.area(one) + shapely.area(other) - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)


def yaw_error(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Returns the angle between two headings, elementwise, rad in [0, pi]."""
    difference = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    return np.abs((difference + math.pi) % (2 * math.pi) - math.pi)


def box_from_corners(corners: ArrayLike, *, has_heading: bool = True) -> RotatedBox:
    """Fits a box to the four corners of a rectangle; opposite sides are averaged.

    Args:
        corners: ``(4, 2)``, x and y in px: nose-left, nose-right, tail-right, tail-left. The mirrored order (nose-right
            first) gives the same box.
        has_heading: Whether the order of the corners tells nose from tail. If not, the yaw is that of the longer side,
            in (-pi/2, pi/2].

    Raises:
        ValueError: If the corners are not finite, or not those of a rectangle in order (tolerance: ``MAX_SKEW``).
    """
    points = np.asarray(corners, dtype=np.float64)
    if points.shape != (4, 2) or not np.isfinite(points).all():
        raise ValueError(f"a box needs four corners of two finite numbers, got {points.tolist()}")
    nose_left, nose_right, tail_right, tail_left = points
    across = ((nose_right - nose_left) + (tail_right - tail_left)) / 2
    along = ((nose_left - tail_left) + (nose_right - tail_right)) / 2
    width, height = math.hypot(*across), math.hypot(*along)
    skew = np.abs(nose_right - nose_left - (tail_right - tail_left)).max()
    lean = abs(across @ along) / max(width * height, 1e-9)  # cosine of the angle between the sides
    if min(width, height) <= 0 or skew > MAX_SKEW * 2 * max(width, height) or lean > MAX_SKEW * 2:
        raise ValueError(
            f"the corners {points.round(2).tolist()} are not those of a rectangle; list them one after the other"
        )
    if not has_heading and width > height:
        width, height, along = height, width, across
    yaw = math.atan2(*along)
    x, y = points.mean(axis=0).tolist()
    return RotatedBox(x=x, y=y, yaw=yaw if has_heading else _fold_axis(yaw), width=width, height=height)


def _fold_axis(yaw: float) -> float:
    """Maps a yaw that is known up to half a turn to (-pi/2, pi/2], rad."""
    folded = math.pi / 2 - (math.pi / 2 - yaw) % math.pi
    return folded if folded > -math.pi / 2 else math.pi / 2  # the remainder may be rounded up to pi
