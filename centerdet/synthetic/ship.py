"""The ships of the task's scenes: their distribution and their outline.

The constants are those of the task's generator. ``draw_ship`` follows it draw by draw; ``draw_ships`` samples the same
distribution for many scenes at once.
"""

from __future__ import annotations

import math
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from centerdet.box import RotatedBox, box_to_image

MARGIN = 10  # px: the smallest distance of a ship's centre to the image's border
WIDTH_RANGE = (18, 37)  # px: half-open range of the width, a whole number
ASPECT_RATIO = (3 / 2, 0.2)  # mean and standard deviation of height over width
NOTCH_DEPTH = (1 / 3, 0.1)  # mean and standard deviation of the depth of the notch at the back, in heights


def draw_ship(rng: np.random.RandomState | ModuleType, image_size: int) -> tuple[RotatedBox, float]:
    """Draws the box of a ship and the depth of its notch, in the order of the task's generator.

    Args:
        rng: A random state, or the module ``numpy.random``.
        image_size: Side of the square image in px.
    """
    x, y = rng.randint(MARGIN, image_size - MARGIN, size=2).tolist()
    yaw = rng.rand() * 2 * math.pi
    width = rng.randint(*WIDTH_RANGE)
    height = width * abs(rng.normal(*ASPECT_RATIO))
    notch = abs(rng.normal(*NOTCH_DEPTH))
    return RotatedBox(x=float(x), y=float(y), yaw=yaw, width=float(width), height=height), notch


def draw_ships(
    rng: np.random.Generator, count: int, image_size: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draws the boxes ``(B, 5)`` of ships in px and rad, and the depths ``(B,)`` of their notches."""
    width = rng.integers(*WIDTH_RANGE, count).astype(np.float64)
    x, y = rng.integers(MARGIN, image_size - MARGIN, (2, count))
    yaw = rng.random(count) * 2 * math.pi
    height = width * np.abs(rng.normal(*ASPECT_RATIO, count))
    notch = np.abs(rng.normal(*NOTCH_DEPTH, count))
    return np.stack([x, y, yaw, width, height], axis=1), notch


def outline(boxes: NDArray[np.float64], notch: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the vertices of ships in the order nose, left, notch, right.

    Args:
        boxes: ``(N, 5)`` in px and rad.
        notch: ``(N,)`` depths of the notches, in heights.

    Returns:
        ``(N, 4, 2)`` as (x, y) in px.
    """
    width, height, zero = boxes[:, 3], boxes[:, 4], np.zeros(len(boxes))
    across = np.stack([zero, -width / 2, zero, width / 2], axis=1)  # (N, 4)
    along = np.stack([height, zero, notch * height, zero], axis=1) - height[:, None] / 2
    return box_to_image(boxes, np.stack([across, along], axis=-1))
