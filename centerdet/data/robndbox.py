"""XML files with ``<robndbox>`` boxes, one file per image: the common part of labelImg2 and roLabelImg.

A box is ``cx cy w h angle``: px, and radians clockwise about the centre.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from centerdet.box import RotatedBox
from centerdet.data.documents import check_size, get_number, read_xml, xml_name
from centerdet.data.drawn_box import DrawnBox
from centerdet.data.labels import ErrorCollector, Label, is_missing

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_OBJECT = """\
  <object>
    <type>robndbox</type>
    <name>object</name>
    <pose>Unspecified</pose>
    <truncated>0</truncated>
    <difficult>0</difficult>
    <robndbox>
      <cx>{:.4f}</cx>
      <cy>{:.4f}</cy>
      <w>{:.4f}</w>
      <h>{:.4f}</h>
      <angle>{:.6f}</angle>
    </robndbox>
  </object>
"""


def read_file(path: Path, *, size: tuple[int, int], has_heading: bool, errors: ErrorCollector) -> list[Label]:
    """Reads the file of one image; as ``labels.LabelFileReader``."""
    labels: list[Label] = []
    with errors.collect():
        if is_missing(path):
            return []
        root = read_xml(path)
        with errors.collect(str(path)):
            _check_root(root, size)
        for number, element in enumerate(root.iter("object"), start=1):
            place = f"{path}, object {number}"
            with errors.collect(place):
                labels.append(Label(_read_drawn_box(element).to_box(has_heading=has_heading), place))
    return labels


def format_file(box: RotatedBox | None, *, image: str, size: tuple[int, int]) -> str:
    """Returns the file of one image.

    Args:
        box: The object's box, or ``None``.
        image: Name of the image.
        size: The image's (width, height), px.
    """
    width, height = size
    return (
        f"<annotation>\n  <filename>{escape(xml_name(image))}</filename>\n"
        f"  <size><width>{width}</width><height>{height}</height><depth>1</depth></size>\n"
        f"{'' if box is None else _OBJECT.format(*DrawnBox.from_box(box))}</annotation>\n"
    )


def _check_root(root: Element, size: tuple[int, int]) -> None:
    if root.tag != "annotation":
        raise ValueError(f"wanted <annotation>, got <{root.tag}>; correct the data set's format")
    written = root.find("size")
    if written is not None:
        labelled = tuple(int(get_number({side: written.findtext(side)}, side)) for side in ("width", "height"))
        check_size((labelled[0], labelled[1]), size, "the image")


def _read_drawn_box(element: Element) -> DrawnBox:
    box = element.find("robndbox")
    if box is None:
        raise ValueError("wanted <robndbox>, got an object without one; draw a rotated box instead")
    values = {child.tag: child.text for child in box}
    x, y, width, height, angle = (get_number(values, name) for name in ("cx", "cy", "w", "h", "angle"))
    return DrawnBox(x, y, width, height, angle)
