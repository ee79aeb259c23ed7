"""What a detector says about an image before refinement; without numba or torch."""

from __future__ import annotations

from typing import NamedTuple

from centerdet.box import RotatedBox


class Guess(NamedTuple):
    """A detector's box, and the chance that it is right (IoU > 0.7), in [0, 1]."""

    box: RotatedBox
    chance: float
