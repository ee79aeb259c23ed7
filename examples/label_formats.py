"""Writes examples/labels/: the same five darts, labelled in each format that centerdet reads.

    python examples/label_formats.py

Then, for example: centerdet check examples/labels/cvat/data.yaml
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT.parent))  # runs from a checkout without installation

import centerdet
from centerdet.cli.errors import Parser, fail_cleanly
from centerdet.data.formats import READERS, LabelFormat
from centerdet.data.label_writers import write_labels
from centerdet.data.ultralytics_yaml import format_data_yaml
from centerdet.files import make_folder
from examples.darts import CORNERS

WIDTH, HEIGHT = 160, 120  # px
YAWS = (math.radians(20), math.radians(110), math.radians(200), math.radians(290))  # one in each quadrant
FILES = {"csv": "labels.csv", "label-studio": "labels.json", "cvat": "annotations.xml"}  # others: a folder


def make_boxes() -> dict[str, centerdet.RotatedBox | None]:
    """Returns the box of each image by its name; the last image has no object."""
    boxes: dict[str, centerdet.RotatedBox | None] = {
        f"dart-{number}.png": centerdet.RotatedBox(x=50.5 + 15 * number, y=60.25, yaw=yaw, width=22, height=44)
        for number, yaw in enumerate(YAWS)
    }
    return {**boxes, "empty.png": None}


def draw(box: centerdet.RotatedBox | None) -> NDArray[np.uint8]:
    """Draws a dart on grey, or only the grey."""
    image = np.full((HEIGHT, WIDTH), 80, np.uint8)
    if box is not None:
        u, v = np.array(CORNERS).T * [[box.width], [box.height]]
        cos, sin = math.cos(box.yaw), math.sin(box.yaw)
        image[polygon(box.y - u * sin + v * cos, box.x + u * cos + v * sin, shape=image.shape)] = 220
    return image


def write_example(format: LabelFormat, folder: Path, images: Path) -> None:
    """Writes the labels and the data set's file of one format."""
    boxes = make_boxes()
    sizes = dict.fromkeys(boxes, (WIDTH, HEIGHT))
    make_folder(folder)
    if format == "ultralytics":
        write_images(folder / "images" / "train")
        write_labels("yolo", folder / "labels" / "train", boxes, sizes)
        text = format_data_yaml({"train": "images/train"})
    else:
        labels = FILES.get(format, "labels")
        write_labels(format, folder / labels, boxes, sizes, images=images)
        text = f"format: {format}\ntrain: {{images: ../images, labels: {labels}}}\n"
        text += "has_heading: false\n" if format == "rolabelimg" else ""
    (folder / "data.yaml").write_text(text)


def write_images(folder: Path) -> None:
    """Writes the images as PNG files."""
    make_folder(folder)
    for name, box in make_boxes().items():
        cv2.imwrite(str(folder / name), draw(box))


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Writes the images once, and the labels in each format."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "labels", help="folder; default: %(default)s")
    options = parser.parse_args(arguments)
    write_images(options.out / "images")
    for format in READERS:
        write_example(format, options.out / format, options.out / "images")
    print(f"{len(READERS)} data sets in {options.out}")


if __name__ == "__main__":
    sys.exit(main())
