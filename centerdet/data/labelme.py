"""Labels of labelme (6.2 or newer): a JSON file per image, with shapes of the type ``oriented_rectangle``.

labelme draws an arrow in the direction from the first point to the second. The nose, where the arrow points, is thus
the side from the second point to the third. Source: https://github.com/wkentaro/labelme
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from centerdet.box import RotatedBox
from centerdet.data.drawn_box import DrawnBox
from centerdet.data.labels import ErrorCollector, ImageFolder, Label, name_without_suffix, read_label_folder
from centerdet.data.shape_files import format_shapes, read_shapes

VERSION = "6.2.0"  # of labelme, whose files these are
_SHAPE_TYPE = "oriented_rectangle"

image_key = name_without_suffix


def read_labels(
    labels: Path, images: ImageFolder, *, has_heading: bool, errors: ErrorCollector
) -> dict[str, list[Label]]:
    """Reads the labels of the images of a split; as ``labels.LabelReader.read_labels``."""
    return read_label_folder(labels, images, read_file, suffix=".json", has_heading=has_heading, errors=errors)


def read_file(path: Path, *, size: tuple[int, int], has_heading: bool, errors: ErrorCollector) -> list[Label]:
    """Reads the file of one image; as ``labels.LabelFileReader``."""
    read = partial(read_shapes, path, _find_nose_first, shape_type=_SHAPE_TYPE)
    return read(size=size, has_heading=has_heading, errors=errors)


def format_file(box: RotatedBox | None, *, image: str, size: tuple[int, int]) -> str:
    """Returns the file of one image.

    Args:
        box: The object's box, or ``None``.
        image: Path of the image, relative to the folder of the file.
        size: The image's (width, height), px.
    """
    points = None if box is None else np.roll(DrawnBox.from_box(box).corners(), 1, axis=0)  # nose: points 1 and 2
    shape = None if points is None else {"shape_type": _SHAPE_TYPE, "points": points.tolist()}
    return format_shapes(shape, image=image, size=size, version=VERSION)


def _find_nose_first(points: NDArray[np.float64], shape: Mapping[str, Any]) -> NDArray[np.float64]:
    return np.roll(points, -1, axis=0)
