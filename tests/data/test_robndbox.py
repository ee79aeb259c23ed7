"""Labels of labelImg2 and roLabelImg."""

import math

import pytest
from hypothesis import assume, given, settings

from centerdet import RotatedBox
from centerdet.box import yaw_error
from centerdet.data import labelimg2, rolabelimg
from centerdet.data.config import read_data_config
from tests.data.drawn import TURNS, assert_drawn, assert_round_trip, read
from tests.helpers import label_boxes

FILE = """<annotation verified="yes"><filename>a</filename>
<size><width>200</width><height>100</height><depth>3</depth></size>
<object><type>robndbox</type><name>ship</name>
<robndbox><cx>100.0</cx><cy>50.0</cy><w>20.0</w><h>40.0</h><angle>{}</angle></robndbox></object></annotation>"""


def read_xml(folder, content, format="labelimg2", has_heading=True):
    (folder / "labels").mkdir(exist_ok=True)
    (folder / "labels" / "a.xml").write_text(content)
    return read(format, folder / "labels", ["a.png"], has_heading=has_heading)


@pytest.mark.parametrize("turn", TURNS)
def test_a_box_turned_about_its_centre(turn, tmp_path):
    found, errors = read_xml(tmp_path, FILE.format(math.radians(turn)))
    assert errors == []
    assert_drawn(found["a.png"][0], turn)
    found, errors = read_xml(tmp_path, FILE.format(math.radians(turn % 180)), "rolabelimg", has_heading=False)
    assert errors == []
    axis = found["a.png"][0].yaw
    assert yaw_error(2 * axis, 2 * (math.pi - math.radians(turn))) < 1e-6
    assert -math.pi / 2 < axis <= math.pi / 2


@settings(max_examples=20)
@given(box=label_boxes)
def test_a_written_box_is_read_back(box, tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    (folder / "a.xml").write_text(labelimg2.format_file(box, image="a.png", size=(320, 200)))
    (folder / "b.xml").write_text(labelimg2.format_file(None, image="b.png", size=(320, 200)))
    assert_round_trip("labelimg2", folder, box)
    assume(abs(box.width - box.height) > 0.01)  # a square has no longer side
    (folder / "a.xml").write_text(rolabelimg.format_file(box, image="a.png", size=(320, 200)))
    axis = box if box.height > box.width else RotatedBox(box.x, box.y, box.yaw + math.pi / 2, box.height, box.width)
    assert_round_trip("rolabelimg", folder, axis, has_heading=False, turns=2)


def test_rolabelimg_has_no_heading(tmp_path):
    with pytest.raises(ValueError, match="do not tell nose from tail: write 'has_heading: false'"):
        read_xml(tmp_path, FILE.format(0), "rolabelimg", has_heading=True)
    (tmp_path / "data.yaml").write_text("format: rolabelimg\ntrain: {images: a, labels: b}\nhas_heading: true\n")
    with pytest.raises(ValueError, match=r"data\.yaml: roLabelImg stores angles of half a turn only"):
        read_data_config(tmp_path / "data.yaml")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (FILE.format("x"), ", object 1: angle: 'x' is not a number"),
        (FILE.replace("angle>", "turn>"), ", object 1: angle is missing"),
        (FILE.replace("robndbox>", "bndbox>"), ", object 1: wanted <robndbox>"),
        (FILE.format(0).replace("<width>200", "<width>20"), ": the labels are for 20 x 100 px"),
        ("<annotations/>", ": wanted <annotation>, got <annotations>"),
        ("<annotation>", ": no element found"),
    ],
)
def test_wrong_files_are_errors(content, complaint, tmp_path):
    found, (error,) = read_xml(tmp_path, content)
    assert found == {}
    assert f"{tmp_path / 'labels' / 'a.xml'}{complaint}" in error
