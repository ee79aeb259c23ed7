"""Labels of roLabelImg: an XML file per image. Angles are those of half a turn, so that boxes have no nose.

Source: https://github.com/cgvict/roLabelImg
"""

from __future__ import annotations

import math
from pathlib import Path

from centerdet.box import RotatedBox
from centerdet.data import robndbox
from centerdet.data.drawn_box import DrawnBox
from centerdet.data.labels import ErrorCollector, ImageFolder, Label, name_without_suffix, read_label_folder

image_key = name_without_suffix


def read_labels(
    labels: Path, images: ImageFolder, *, has_heading: bool, errors: ErrorCollector
) -> dict[str, list[Label]]:
    """Reads the labels of the images of a split; as ``labels.LabelReader.read_labels``.

    Raises:
        ValueError: Also if the labels should tell nose from tail.
    """
    return read_label_folder(labels, images, read_file, suffix=".xml", has_heading=has_heading, errors=errors)


def read_file(path: Path, *, size: tuple[int, int], has_heading: bool, errors: ErrorCollector) -> list[Label]:
    """Reads the file of one image; as ``labels.LabelFileReader``.

    Raises:
        ValueError: If the labels should tell nose from tail.
    """
    check_has_no_heading(has_heading)
    return robndbox.read_file(path, size=size, has_heading=False, errors=errors)


def check_has_no_heading(has_heading: bool) -> None:
    """Refuses labels that should tell nose from tail.

    Raises:
        ValueError: If they should.
    """
    if has_heading:
        raise ValueError(
            "roLabelImg stores angles of half a turn only, which do not tell nose from tail: write "
            "'has_heading: false', or use 'format: labelimg2' if the files are labelImg2's"
        )


def format_file(box: RotatedBox | None, *, image: str, size: tuple[int, int]) -> str:
    """Returns the file of one image, with an angle in [0, pi); as ``robndbox.format_file``."""
    if box is not None:
        drawn = DrawnBox.from_box(box)
        box = drawn._replace(angle=drawn.angle % math.pi).to_box()
    return robndbox.format_file(box, image=image, size=size)
