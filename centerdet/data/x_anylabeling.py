"""Labels of X-AnyLabeling (4 or newer): a JSON file per image, with shapes of the type ``rotation``.

``direction`` is the direction from the first point to the second, clockwise from "to the right", rad. The side between
these points was the top before the turn. Source: https://github.com/CVHub520/X-AnyLabeling
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from centerdet.box import RotatedBox, yaw_error
from centerdet.data.documents import get_number
from centerdet.data.drawn_box import DrawnBox
from centerdet.data.labels import ErrorCollector, ImageFolder, Label, name_without_suffix, read_label_folder
from centerdet.data.shape_files import format_shapes, read_shapes

VERSION = "4.0.0"  # of X-AnyLabeling, whose files these are
MAX_DIFFERENCE = math.radians(2)  # between direction and points: rounded points of a side of 30 px differ by 1 degree
_SHAPE_TYPE = "rotation"

image_key = name_without_suffix


def read_labels(
    labels: Path, images: ImageFolder, *, has_heading: bool, errors: ErrorCollector
) -> dict[str, list[Label]]:
    """Reads the labels of the images of a split; as ``labels.LabelReader.read_labels``."""
    return read_label_folder(labels, images, read_file, suffix=".json", has_heading=has_heading, errors=errors)


def read_file(path: Path, *, size: tuple[int, int], has_heading: bool, errors: ErrorCollector) -> list[Label]:
    """Reads the file of one image; as ``labels.LabelFileReader``. Without a heading, directions are not checked."""
    nose_first = _check_direction if has_heading else (lambda points, shape: points)
    read = partial(read_shapes, path, nose_first, shape_type=_SHAPE_TYPE)
    return read(size=size, has_heading=has_heading, errors=errors)


def format_file(box: RotatedBox | None, *, image: str, size: tuple[int, int]) -> str:
    """Returns the file of one image.

    Args:
        box: The object's box, or ``None``.
        image: Path of the image, relative to the folder of the file.
        size: The image's (width, height), px.
    """
    drawn = None if box is None else DrawnBox.from_box(box)
    shape = drawn and {"shape_type": _SHAPE_TYPE, "points": drawn.corners().tolist(), "direction": drawn.angle}
    return format_shapes(shape, image=image, size=size, version=VERSION)


def _check_direction(points: NDArray[np.float64], shape: Mapping[str, Any]) -> NDArray[np.float64]:
    """Returns the points as they are.

    Raises:
        ValueError: If the direction is missing or is not that of the first side.
    """
    direction, side = get_number(shape, "direction"), points[1] - points[0]
    seen = math.atan2(side[1], side[0])
    if yaw_error(seen, direction) > MAX_DIFFERENCE:
        raise ValueError(
            f"direction is {math.degrees(direction) % 360:.1f} degrees, but the first two points have "
            f"{math.degrees(seen) % 360:.1f}; draw the box again, or set 'has_heading: false'"
        )
    return points
