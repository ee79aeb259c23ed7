"""Labels of CVAT: one XML file, the export format "CVAT for images 1.1".

A box is ``<box xtl ytl xbr ybr rotation>``: the corners before the turn, in px, and degrees clockwise about the centre.
The rotation is left out where it is 0. Format: https://docs.cvat.ai/docs/manual/advanced/xml_format
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

from centerdet.box import RotatedBox
from centerdet.data.documents import Entry, assign_entries, get_number, read_xml, xml_name
from centerdet.data.drawn_box import DrawnBox
from centerdet.data.labels import ErrorCollector, ImageFolder, Label
from centerdet.files import write_atomically

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

HEADER = """\
<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><labels><label><name>object</name><attributes></attributes></label></labels></task></meta>
"""
FOOTER = "</annotations>\n"
_OTHER_SHAPES = ("polygon", "polyline", "points", "ellipse", "cuboid", "mask", "skeleton")


def image_key(name: str) -> str:
    """Returns the name: elements identify images by name and suffix."""
    return name


def read_labels(
    labels: Path, images: ImageFolder, *, has_heading: bool, errors: ErrorCollector
) -> dict[str, list[Label]]:
    """Reads the labels of the images of a split; as ``labels.LabelReader.read_labels``.

    An image without an element is an error.
    """
    root = read_xml(labels)
    if root.tag != "annotations" or root.find("track") is not None:
        raise ValueError(f"{labels} must have images in <annotations>; export as 'CVAT for images 1.1'")
    return assign_entries(labels, _read_images(labels, root, has_heading, errors), images, errors)


def format_image(
    number: int, name: str, box: RotatedBox | None, *, size: tuple[int, int], source: str = "manual"
) -> str:
    """Returns the element of one image.

    Args:
        number: Number of the image in the file, from 0.
        name: Name of the image in CVAT.
        box: The object's box, or ``None``.
        size: The image's (width, height), px.
        source: Who made the label: ``manual`` or ``auto``.
    """
    start = f'  <image id="{number}" name={quoteattr(xml_name(name))} width="{size[0]}" height="{size[1]}"'
    if box is None:
        return f"{start}/>\n"
    drawn = DrawnBox.from_box(box)
    right, down = drawn.width / 2, drawn.height / 2
    corners = {"xtl": drawn.x - right, "ytl": drawn.y - down, "xbr": drawn.x + right, "ybr": drawn.y + down}
    values = {**corners, "rotation": math.degrees(drawn.angle)}
    attributes = " ".join(f'{name}="{value:.6f}"' for name, value in values.items())
    return f'{start}>\n    <box label="object" source="{source}" occluded="0" {attributes} z_order="0"/>\n  </image>\n'


def write_file(path: Path, boxes: Mapping[str, RotatedBox | None], sizes: Mapping[str, tuple[int, int]]) -> None:
    """Writes the labels of images, by their names; ``sizes`` are (width, height), px."""
    elements = [format_image(number, name, box, size=sizes[name]) for number, (name, box) in enumerate(boxes.items())]
    write_atomically(path, "".join([HEADER, *elements, FOOTER]).encode())


def _read_images(path: Path, root: Element, has_heading: bool, errors: ErrorCollector) -> Iterator[Entry]:
    for number, image in enumerate(root.iter("image"), start=1):
        name = image.get("name", "")
        place = f"{path}, image {name!r}" if name else f"{path}, image {number}"
        with errors.collect(place):
            if not name:
                raise ValueError("name is missing")
            size = int(get_number(image.attrib, "width")), int(get_number(image.attrib, "height"))
            yield Entry(name, place, size, _read_boxes(image, place, has_heading, errors))


def _read_boxes(image: Element, place: str, has_heading: bool, errors: ErrorCollector) -> list[Label] | None:
    """Returns the objects of an image, or ``None`` after an error; tags and attributes are ignored."""
    before, labels = len(errors.messages), []
    for number, shape in enumerate(image, start=1):
        shape_place = f"{place}, shape {number}"
        with errors.collect(shape_place):
            if shape.tag in _OTHER_SHAPES:
                raise ValueError(f"wanted <box>, got <{shape.tag}>; draw a box and turn it, or remove the shape")
            if shape.tag == "box":
                labels.append(Label(_read_drawn_box(shape).to_box(has_heading=has_heading), shape_place))
    return labels if len(errors.messages) == before else None


def _read_drawn_box(shape: Element) -> DrawnBox:
    left, top, right, bottom = (get_number(shape.attrib, name) for name in ("xtl", "ytl", "xbr", "ybr"))
    angle = math.radians(get_number(shape.attrib, "rotation", 0))
    return DrawnBox((left + right) / 2, (top + bottom) / 2, width=right - left, height=bottom - top, angle=angle)
