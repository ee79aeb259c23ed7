"""YOLO-OBB labels: one text file per image, one object per line.

A line is ``class x1 y1 x2 y2 x3 y3 x4 y4``, with x divided by the image's width and y by its height: 0 and 1 are the
edges of the image. Values outside are allowed. Format: https://docs.ultralytics.com/datasets/obb
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from centerdet.box import RotatedBox
from centerdet.data.drawn_box import drawn_corners
from centerdet.data.labels import ErrorCollector, ImageFolder, Label, name_without_suffix, read_label_folder
from centerdet.data.text_labels import read_corners, read_text_labels

_WORDS = 9  # of a line

image_key = name_without_suffix


def read_labels(
    labels: Path, images: ImageFolder, *, has_heading: bool, errors: ErrorCollector
) -> dict[str, list[Label]]:
    """Reads the labels of the images of a split; as ``labels.LabelReader.read_labels``."""
    return read_label_folder(labels, images, read_file, suffix=".txt", has_heading=has_heading, errors=errors)


def read_file(path: Path, *, size: tuple[int, int], has_heading: bool, errors: ErrorCollector) -> list[Label]:
    """Reads the file of one image; as ``labels.LabelFileReader``."""
    return read_text_labels(path, partial(_parse_line, size=size), has_heading=has_heading, errors=errors)


def format_line(box: RotatedBox, *, size: tuple[int, int]) -> str:
    """Returns the line of an object of class 0; ``size`` is the image's (width, height), px."""
    return " ".join(["0", *(f"{value:.8f}" for value in (drawn_corners(box) / size).flatten())])


def _parse_line(line: str, *, size: tuple[int, int]) -> NDArray[np.float64]:
    words = line.split()
    if len(words) != _WORDS:
        raise ValueError(f"wanted class and 8 numbers, got {len(words)} words: {' '.join(words)[:60]!r}")
    return read_corners(words[1:]) * size
