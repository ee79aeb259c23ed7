"""Boxes as labelling tools draw them: centre, size, and a clockwise angle. The top of the unturned box is the nose.

Tools measure x to the right and y down, as ``centerdet.box`` does, but turn clockwise, from a box whose nose points up.
They measure from the image's outer corner: (0, 0) is the top left corner of the first pixel, whose centre is at (0.5,
0.5), and (width, height) the bottom right corner of the last one. All formats but CSV are of this kind.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from centerdet.box import RotatedBox, box_from_corners

Nose = Literal["top", "right", "bottom", "left"]

PIXEL_CENTER = 0.5  # px, of the first pixel as tools measure; in ``centerdet.box`` it is 0

_QUARTER_TURNS = {"top": 0, "right": 1, "bottom": 2, "left": 3}  # clockwise, from the top to that side


class DrawnBox(NamedTuple):
    """A box drawn upright and then turned about its centre.

    Attributes:
        x: Centre, px to the right of the image's left edge.
        y: Centre, px below its top edge.
        width: Length of the top side, px.
        height: Length of the other two sides, px.
        angle: Clockwise turn on the screen, rad.
    """

    x: float
    y: float
    width: float
    height: float
    angle: float

    @classmethod
    def from_box(cls, box: RotatedBox) -> DrawnBox:
        """Returns the drawn box whose top is the nose of a box; its angle is in [0, 2 pi)."""
        x, y, angle = box.x + PIXEL_CENTER, box.y + PIXEL_CENTER, (math.pi - box.yaw) % (2 * math.pi)
        return cls(x=x, y=y, width=box.width, height=box.height, angle=angle)

    def to_box(self, *, has_heading: bool = True) -> RotatedBox:
        """Returns the box whose nose is the top of the drawn one.

        Args:
            has_heading: If not, the yaw is that of the longer side, in (-pi/2, pi/2].

        Raises:
            ValueError: If a number is not finite or a length is not positive.
        """
        x, y, yaw = self.x - PIXEL_CENTER, self.y - PIXEL_CENTER, _wrap(math.pi - self.angle)
        box = RotatedBox(x=x, y=y, yaw=yaw, width=self.width, height=self.height)
        return box if has_heading else box_from_corners(box.corners(), has_heading=False)

    def top_left(self) -> tuple[float, float]:
        """Returns the corner ``(x, y)`` that was top left before the turn."""
        x, y = self.corners()[0].tolist()
        return x, y

    def corners(self) -> NDArray[np.float64]:
        """Returns the corners ``(4, 2)`` as ``(x, y)``: before the turn, clockwise from the top left."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        offsets = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)]) * (self.width, self.height)
        return offsets @ np.array([(cos, sin), (-sin, cos)]) + (self.x, self.y)


def drawn_corners(box: RotatedBox) -> NDArray[np.float64]:
    """Returns the corners ``(4, 2)`` of a box, in the order of ``RotatedBox.corners``, as tools measure."""
    return box.corners() + PIXEL_CENTER


def box_from_drawn_corners(corners: NDArray[np.float64], *, has_heading: bool = True) -> RotatedBox:
    """Fits a box to corners as tools measure them; as ``centerdet.box.box_from_corners``."""
    return box_from_corners(corners - PIXEL_CENTER, has_heading=has_heading)


def turn_nose(box: RotatedBox, nose: Nose) -> RotatedBox:
    """Moves the nose of a box to another of its sides; the rectangle stays the same.

    Args:
        box: A box whose nose is the top of the drawn box.
        nose: The side of the drawn box that is the nose.
    """
    turns = _QUARTER_TURNS[nose]
    width, height = (box.height, box.width) if turns % 2 else (box.width, box.height)
    return RotatedBox(x=box.x, y=box.y, yaw=_wrap(box.yaw - turns * math.pi / 2), width=width, height=height)


def _wrap(yaw: float) -> float:
    """Maps an angle to (-pi, pi], rad."""
    return math.pi - (math.pi - yaw) % (2 * math.pi)
