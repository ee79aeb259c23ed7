"""Family ``filled``: filled shapes of 34 to 80 px, a little brighter or darker than a photograph of a texture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from centerdet import RotatedBox
from tools.families.scene import (
    draw_box,
    draw_ground,
    draw_outline,
    draw_size,
    mask_outline,
    read_photograph,
    to_8_bit,
)

LENGTH, RATIO = (34.0, 80.0), (0.45, 0.85)  # px; width / height
PHOTOGRAPHS = ("brick.png", "grass.png", "gravel.png")
SCALE = (0.7, 1.4)  # of the photograph
CONTRAST = (0.12, 0.25)  # of the full scale, either brighter or darker
BLUR = (0.4, 1.2)  # px, of the shape's edge
NOISE_STD = 0.03  # of the full scale
JITTER = 0.03
# Outlines as (u, v), the nose at the largest v.
OUTLINES = (
    np.array([(0, 0.5), (-0.5, 0), (-0.2, 0), (-0.2, -0.5), (0.2, -0.5), (0.2, 0), (0.5, 0)]),  # arrow
    np.array([(-0.5, 0.5), (0.5, 0.5), (0.5, 0.1), (0, 0.05), (0, -0.5), (-0.5, -0.5)]),  # boot
    np.array([(0, 0.5), (-0.5, 0.1), (-0.1, -0.3), (-0.35, -0.5), (0.35, -0.5), (0.1, -0.3), (0.5, 0.1)]),  # fish
)


def draw(rng: np.random.Generator) -> tuple[NDArray[np.uint8], RotatedBox | None]:
    """Draws one image and the box of its object, or ``None``."""
    shape = draw_size(rng)
    image = draw_ground(rng, read_photograph(rng.choice(PHOTOGRAPHS)), shape, scale=SCALE)
    box = draw_box(rng, shape, length=LENGTH, ratio=RATIO)
    if box is not None:
        outline = draw_outline(rng, OUTLINES[rng.integers(len(OUTLINES))], jitter=JITTER)
        mask = cv2.GaussianBlur(mask_outline(outline, box, shape, thickness=None), (0, 0), rng.uniform(*BLUR))
        image = image + rng.choice((-1, 1)) * rng.uniform(*CONTRAST) * mask
    return to_8_bit(image + rng.normal(0, NOISE_STD, shape)), box
