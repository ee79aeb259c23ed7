"""Three families of images to measure training on, each with at most one object that has a heading.

Each family is a function ``draw(rng) -> (image (H, W) uint8, RotatedBox or None)``: thin outlines in noise,
low-contrast filled shapes on photographs of textures, and things cut out of photographs on other photographs. A fifth
of the images has no object. Nothing in ``centerdet`` may be trained on these families: they measure how well it learns
images that it has never seen.

The photographs are read from the installed scikit-image; none is part of this repository. By scikit-image's
documentation they are in the public domain, under CC0 or without known restrictions; for the motorcycle (Middlebury
stereo benchmark, 2014) it names no licence.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from centerdet import RotatedBox
from tools.families import cutout, filled, thin

Draw = Callable[[np.random.Generator], tuple[NDArray[np.uint8], RotatedBox | None]]

FAMILIES: dict[str, Draw] = {"thin": thin.draw, "filled": filled.draw, "cutout": cutout.draw}
