"""DOTA labels: one text file per image, one object per line.

A line is ``x1 y1 x2 y2 x3 y3 x4 y4 category [difficulty]``, in px. Lines that begin with ``imagesource:`` or ``gsd:``
are ignored. Format: https://captain-whu.github.io/DOTA/dataset.html
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from centerdet.box import RotatedBox
from centerdet.data.drawn_box import drawn_corners
from centerdet.data.labels import ErrorCollector, ImageFolder, Label, name_without_suffix, read_label_folder
from centerdet.data.text_labels import read_corners, read_text_labels

_WORDS = (9, 10)  # of a line, without and with difficulty
_METADATA = ("imagesource:", "gsd:")  # where the image is from, and its ground sample distance

image_key = name_without_suffix


def read_labels(
    labels: Path, images: ImageFolder, *, has_heading: bool, errors: ErrorCollector
) -> dict[str, list[Label]]:
    """Reads the labels of the images of a split; as ``labels.LabelReader.read_labels``."""
    return read_label_folder(labels, images, read_file, suffix=".txt", has_heading=has_heading, errors=errors)


def read_file(path: Path, *, size: tuple[int, int], has_heading: bool, errors: ErrorCollector) -> list[Label]:
    """Reads the file of one image; as ``labels.LabelFileReader``. The size is not needed."""
    return read_text_labels(path, _parse_line, has_heading=has_heading, errors=errors)


def format_line(box: RotatedBox, *, category: str = "object") -> str:
    """Returns the line of an object of difficulty 0."""
    return " ".join([*(f"{value:.4f}" for value in drawn_corners(box).flatten()), category, "0"])


def _parse_line(line: str) -> NDArray[np.float64] | None:
    if line.lstrip().lower().startswith(_METADATA):
        return None
    words = line.split()
    if len(words) not in _WORDS:
        raise ValueError(
            f"wanted 8 numbers, category and perhaps difficulty, got {len(words)} words: {' '.join(words)[:60]!r}"
        )
    return read_corners(words[:8])
