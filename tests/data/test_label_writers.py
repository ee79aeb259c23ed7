"""Labels written in every format are read back."""

import json
import math
import os
from xml.etree import ElementTree

import pytest
from hypothesis import assume, given, settings

from centerdet import RotatedBox
from centerdet.data.config import DataConfig, SplitConfig
from centerdet.data.formats import READERS
from centerdet.data.label_writers import write_labels
from centerdet.data.labels import ErrorCollector, ImageFolder
from centerdet.data.splits import read_split
from tests.helpers import assert_same_box, label_boxes, write_images

NAMES = ["000.png", "001.png"]


@pytest.mark.parametrize("format", READERS)
@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\x1b[31m", b"a\nb", b"<b>&\"'", b"a\\b", b" a", b"sub/\xff"])
def test_any_name_of_an_image_is_written_as_a_valid_file_and_read_back(format, name, tmp_path):
    image = os.fsdecode(name + b".png")
    write_labels(format, tmp_path / "labels", {image: None}, {image: (320, 200)})
    (file,) = [path for path in (tmp_path / "labels", *tmp_path.glob("labels/**/*")) if path.is_file()]
    content = file.read_bytes()
    if content.startswith(b"<"):
        ElementTree.fromstring(content)
    elif content.startswith((b"{", b"[")):
        json.loads(content)
    images = ImageFolder(folder=tmp_path / "images", sizes={image: (320, 200)}, known_names={image})
    (images.folder / image).parent.mkdir(parents=True)
    (images.folder / image).touch()
    errors, has_heading = ErrorCollector(), format != "rolabelimg"
    found = READERS[format].read_labels(tmp_path / "labels", images, has_heading=has_heading, errors=errors)
    assert (found, errors.messages) == ({image: []}, [])


@pytest.mark.parametrize("format", READERS)
@settings(max_examples=10)
@given(box=label_boxes)
def test_every_format_keeps_boxes_and_headings(format, box, tmp_path_factory):
    assume(0 < box.x < 319 and 0 < box.y < 199 and abs(box.width - box.height) > 0.01)
    root = tmp_path_factory.mktemp("data")
    write_images(root / "images", [None, None], shape=(200, 320))
    labels = root / "labels"
    write_labels(format, labels, dict(zip(NAMES, [box, None], strict=True)), dict.fromkeys(NAMES, (320, 200)))
    has_heading = format != "rolabelimg"
    split = SplitConfig(images="images", labels="labels")
    errors = ErrorCollector()
    config = DataConfig(format=format, train=split, has_heading=has_heading)
    first, second = read_split(config, "train", root, errors)
    assert errors.messages == []
    assert second.box is None
    if has_heading:
        assert_same_box(first.box, box)
    else:
        wide = box.width > box.height
        axis = RotatedBox(box.x, box.y, box.yaw + math.pi / 2, box.height, box.width) if wide else box
        assert_same_box(first.box, axis, turns=2)
