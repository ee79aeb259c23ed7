"""JSON files with the shapes of one image: the common part of labelme and X-AnyLabeling."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from centerdet.data.documents import check_size, get_list, get_number, read_json
from centerdet.data.drawn_box import box_from_drawn_corners
from centerdet.data.labels import ErrorCollector, Label, is_missing

_CORNERS = 4
_TEXT_SHAPES = ("point", "line", "linestrip")  # marks and notes beside the object; they have no area


def read_shapes(
    path: Path,
    find_nose_first: Callable[[NDArray[np.float64], Mapping[str, Any]], NDArray[np.float64]],
    *,
    shape_type: str,
    size: tuple[int, int],
    has_heading: bool,
    errors: ErrorCollector,
) -> list[Label]:
    """Reads the file of one image; a missing file means "no object".

    Args:
        path: The file.
        find_nose_first: Orders the points ``(4, 2)`` of a shape so that the first two are the nose.
        shape_type: Type of the shapes that are boxes. Points and lines are ignored; other shapes are errors.
        size: The image's (width, height), px.
        has_heading: As in ``labels.LabelReader.read_labels``.
        errors: Receives all errors, with file and shape.

    Returns:
        The objects; shapes with errors are left out.
    """
    labels: list[Label] = []
    with errors.collect():
        if is_missing(path):
            return []
        content = read_json(path)
        with errors.collect(str(path)):
            shapes = get_list(content, "shapes")
            _check_image_size(content, size)
            for number, shape in enumerate(shapes, start=1):
                place = f"{path}, shape {number}"
                with errors.collect(place):
                    points = _read_points(shape, shape_type)
                    if points is not None:
                        corners = find_nose_first(points, shape)
                        labels.append(Label(box_from_drawn_corners(corners, has_heading=has_heading), place))
    return labels


def format_shapes(shape: Mapping[str, Any] | None, *, image: str, size: tuple[int, int], version: str) -> str:
    """Returns the file of an image with one shape, or none.

    Args:
        shape: Type, points and further values of the shape.
        image: Path of the image, relative to the folder of the file.
        size: The image's (width, height), px.
        version: Version of the tool that the file is written for.
    """
    common: dict[str, Any] = {"label": "object", "group_id": None, "description": "", "flags": {}}
    content: dict[str, Any] = {
        "version": version,
        "flags": {},
        "shapes": [] if shape is None else [{**common, **shape}],
        "imagePath": image,
        "imageData": None,
        "imageHeight": size[1],
        "imageWidth": size[0],
    }
    return json.dumps(content, indent=1) + "\n"


def _check_image_size(content: Any, size: tuple[int, int]) -> None:
    if content.get("imageWidth") is not None and content.get("imageHeight") is not None:
        labelled = int(get_number(content, "imageWidth")), int(get_number(content, "imageHeight"))
        check_size(labelled, size, "the image")


def _read_points(shape: Any, shape_type: str) -> NDArray[np.float64] | None:
    """Returns the points ``(4, 2)`` of a shape, or ``None`` if it is only a mark.

    Raises:
        ValueError: If it is another shape, or has not four points of two numbers.
    """
    kind = shape.get("shape_type") if isinstance(shape, Mapping) else None
    if kind in _TEXT_SHAPES:
        return None
    if kind != shape_type:
        raise ValueError(f"wanted a shape of type {shape_type!r}, got {kind!r}; draw it again as a rotated box")
    points = get_list(shape, "points")
    if len(points) != _CORNERS or not all(isinstance(point, list) and len(point) == 2 for point in points):
        raise ValueError(f"wanted 4 points of 2 numbers, got {repr(points)[:60]}")
    return np.array([[get_number({"point": value}, "point") for value in point] for point in points])
