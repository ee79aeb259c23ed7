"""Family ``thin``: outlines of 45 to 115 px in Gaussian noise, among straight lines of the same brightness."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from centerdet import RotatedBox
from tools.families.scene import draw_box, draw_outline, draw_size, mask_lines, mask_outline, to_8_bit

LENGTH, RATIO = (45.0, 115.0), (0.5, 0.9)  # px; width / height
THICKNESS = (1.0, 2.0)  # px
BACKGROUND, NOISE_STD = (0.35, 0.6), 0.12  # of the full scale
CONTRAST = (0.2, 0.4)  # of the lines, either brighter or darker than the background
LINES = 7  # at most
JITTER = 0.03
# Outlines as (u, v), the nose at the largest v.
_ANGLES = np.linspace(0, 2 * np.pi, 40, endpoint=False)
OUTLINES = (
    np.stack([np.sin(_ANGLES) * np.sin(_ANGLES / 2) ** 1.5, np.cos(_ANGLES)], axis=1),  # drop with a sharp nose
    np.array([(0.0, 0.5), (-0.5, 0.1), (-0.3, -0.5), (0.3, -0.5), (0.5, 0.1)]),  # pentagon
    np.array([(-0.5, 0.5), (0.5, 0.4), (0.5, 0.0), (-0.15, 0.1), (-0.2, -0.5), (-0.5, -0.5)]),  # hatchet
)
_JITTERS = (0.0, JITTER, JITTER)  # a smooth outline stays smooth


def draw(rng: np.random.Generator) -> tuple[NDArray[np.uint8], RotatedBox | None]:
    """Draws one image and the box of its object, or ``None``."""
    shape = draw_size(rng)
    thickness = rng.uniform(*THICKNESS)
    box = draw_box(rng, shape, length=LENGTH, ratio=RATIO)
    ends = rng.uniform(0, shape[::-1], size=(rng.integers(LINES + 1), 2, 2))
    drawn = mask_lines(ends, shape, thickness=thickness)
    if box is not None:
        kind = rng.integers(len(OUTLINES))
        outline = draw_outline(rng, OUTLINES[kind], jitter=_JITTERS[kind])
        drawn = np.maximum(drawn, mask_outline(outline, box, shape, thickness=thickness))
    contrast = rng.choice((-1, 1)) * rng.uniform(*CONTRAST)
    image = rng.uniform(*BACKGROUND) + contrast * drawn + rng.normal(0, NOISE_STD, shape)
    return to_8_bit(image), box
