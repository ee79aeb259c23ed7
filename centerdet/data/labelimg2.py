"""Labels of labelImg2: an XML file per image. Angles are those of a full turn, so that the top of a box is its nose.

Source: https://github.com/chinakook/labelImg2
"""

from __future__ import annotations

from pathlib import Path

from centerdet.data.labels import ErrorCollector, ImageFolder, Label, name_without_suffix, read_label_folder
from centerdet.data.robndbox import format_file, read_file

__all__ = ["format_file", "image_key", "read_file", "read_labels"]

image_key = name_without_suffix


def read_labels(
    labels: Path, images: ImageFolder, *, has_heading: bool, errors: ErrorCollector
) -> dict[str, list[Label]]:
    """Reads the labels of the images of a split; as ``labels.LabelReader.read_labels``."""
    return read_label_folder(labels, images, read_file, suffix=".xml", has_heading=has_heading, errors=errors)
