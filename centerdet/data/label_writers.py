"""Writer of labels in every format of ``formats.READERS``, for sets of images with at most one object each."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from centerdet.box import RotatedBox
from centerdet.data import cvat, dota, label_studio, labelimg2, labelme, rolabelimg, x_anylabeling, yolo_obb
from centerdet.data.csv_labels import write_csv
from centerdet.data.formats import LabelFormat
from centerdet.files import make_folder, write_atomically

_XML_OR_JSON = {"labelme": labelme, "x-anylabeling": x_anylabeling, "labelimg2": labelimg2, "rolabelimg": rolabelimg}


def write_labels(
    format: LabelFormat,
    path: Path,
    boxes: Mapping[str, RotatedBox | None],
    sizes: Mapping[str, tuple[int, int]],
    *,
    images: Path | None = None,
) -> None:
    """Writes the labels of images.

    Args:
        format: The format; ``ultralytics`` is written as ``yolo``.
        path: The file for ``csv``, ``label-studio`` and ``cvat``; for the others, the folder.
        boxes: The box of each image by its name, such as ``sub/a.png``; ``None``: no object.
        sizes: Width and height of each image by its name, px.
        images: Folder of the images, to which labelme's files point; ``None``: the folder of the labels.

    Raises:
        OSError: If a file cannot be written.
    """
    if format == "csv":
        write_csv(path, boxes)
    elif format == "label-studio":
        label_studio.write_file(path, boxes, sizes)
    elif format == "cvat":
        cvat.write_file(path, boxes, sizes)
    else:
        for name, box in boxes.items():
            file = path / Path(name).with_suffix(_suffix(format))
            make_folder(file.parent)
            image = Path(os.path.relpath((images or path) / name, file.parent)).as_posix()
            write_atomically(file, _format_file(format, image, box, sizes[name]).encode())


def _suffix(format: LabelFormat) -> str:
    if format in _XML_OR_JSON:
        return ".json" if format in ("labelme", "x-anylabeling") else ".xml"
    return ".txt"


def _format_file(format: LabelFormat, image: str, box: RotatedBox | None, size: tuple[int, int]) -> str:
    """Returns the label file of one image."""
    if module := _XML_OR_JSON.get(format):
        return module.format_file(box, image=image, size=size)
    if box is None:
        return ""
    return (dota.format_line(box) if format == "dota" else yolo_obb.format_line(box, size=size)) + "\n"
