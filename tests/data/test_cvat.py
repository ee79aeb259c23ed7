"""Labels of CVAT."""

import pytest
from hypothesis import given, settings

from centerdet.data.cvat import write_file
from tests.data.drawn import TURNS, assert_drawn, assert_round_trip, read
from tests.helpers import label_boxes

IMAGE = '<image id="0" name="a.png" width="200" height="100">'
BOX = '<box label="ship" source="manual" occluded="0" xtl="90.00" ytl="30.00" xbr="110.00" ybr="70.00" z_order="0"/>'


def read_images(folder, content, names=("a.png",)):
    path = folder / "annotations.xml"
    path.write_text(f"<annotations><version>1.1</version><meta><task/></meta>{content}</annotations>")
    return read("cvat", path, names)


@pytest.mark.parametrize("turn", TURNS)
def test_a_box_turned_about_its_centre(turn, tmp_path):
    box = BOX.replace(" z_order", f' rotation="{turn}.00" z_order') if turn else BOX  # 0 is left out
    found, errors = read_images(tmp_path, f'{IMAGE}{box}<tag label="sharp"/></image>')
    assert errors == []
    assert_drawn(found["a.png"][0], turn)


@settings(max_examples=20)
@given(box=label_boxes)
def test_a_written_box_is_read_back(box, tmp_path_factory):
    path = tmp_path_factory.mktemp("labels") / "annotations.xml"
    write_file(path, {"a.png": box, "b.png": None}, {"a.png": (320, 200), "b.png": (320, 200)})
    assert_round_trip("cvat", path, box)


def test_names_are_quoted(tmp_path):
    name = """<a> & "b" 'c'.png"""
    write_file(tmp_path / "annotations.xml", {name: None}, {name: (200, 100)})
    assert read("cvat", tmp_path / "annotations.xml", [name]) == ({name: []}, [])


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (f'{IMAGE}<polygon points="1,2;3,4;5,6"/></image>', "image 'a.png', shape 1: wanted <box>, got <polygon>"),
        (f'{IMAGE}<box xtl="1" ytl="2" xbr="3"/></image>', "shape 1: ybr is missing"),
        (f'{IMAGE}<box xtl="1" ytl="2" xbr="1" ybr="9"/></image>', "above 0 px"),
        (f"{IMAGE.replace('200', 'wide')}</image>", "width: 'wide' is not a number"),
        (f"{IMAGE.replace('200', '300')}{BOX}</image>", "the labels are for 300 x 100 px, and a.png has 200 x 100"),
        ('<image id="0" width="200" height="100"/>', "image 1: name is missing"),
        (f"{IMAGE.replace('a.png', 'ghost.png')}</image>", "there is no image 'ghost.png'"),
    ],
)
def test_wrong_elements_are_errors(content, complaint, tmp_path):
    found, errors = read_images(tmp_path, content)
    assert found == {}
    assert complaint in errors[0]
    assert errors[0].startswith(str(tmp_path / "annotations.xml"))


def test_videos_and_other_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match="export as 'CVAT for images 1.1'"):
        read_images(tmp_path, '<track id="0" label="ship"/>')
    bomb = '<!DOCTYPE a [<!ENTITY b "boom">]><annotations>&b;</annotations>'
    for content in ("", "<a", "<other/>", bomb, '<?xml version="1.0" encoding="no-such"?><a/>'):
        (tmp_path / "annotations.xml").write_text(content)
        with pytest.raises(ValueError, match=r"annotations\.xml"):
            read("cvat", tmp_path / "annotations.xml", ["a.png"])
