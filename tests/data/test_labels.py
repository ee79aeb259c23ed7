import contextlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from centerdet import RotatedBox
from centerdet.box import yaw_error
from centerdet.data.corners import box_from_corners
from centerdet.data.labels import read_csv, read_text, text_line, write_csv

SIZE = (320, 200)  # width, height

boxes = st.builds(
    RotatedBox,
    x=st.floats(-20, 340),
    y=st.floats(-20, 220),
    yaw=st.floats(-math.pi, math.pi),
    width=st.floats(5, 80),
    height=st.floats(5, 80),
)


def assert_same(found, box, *, yaw_of=1):
    np.testing.assert_allclose(found.to_array()[[0, 1, 3, 4]], box.to_array()[[0, 1, 3, 4]], atol=1e-3)
    assert yaw_error(yaw_of * found.yaw, yaw_of * box.yaw) < 1e-3


@given(boxes)
def test_corners_give_the_box_back(box):
    assert_same(box_from_corners(box.corners()), box)


@given(boxes)
def test_either_sense_of_rotation_will_do(box):
    nose_left, nose_right, tail_right, tail_left = box.corners()
    assert_same(box_from_corners([nose_right, nose_left, tail_left, tail_right]), box)


@given(boxes, st.integers(0, 3))
def test_without_a_heading_any_first_corner_gives_the_same_box(box, first):
    found = box_from_corners(np.roll(box.corners(), first, axis=0), has_heading=False)
    assert found.height >= found.width
    assert -math.pi / 2 < found.yaw <= math.pi / 2
    long, short = max(box.width, box.height), min(box.width, box.height)
    assert (found.height, found.width) == pytest.approx((long, short), abs=1e-6)
    if long - short > 1e-3:
        axis = box.yaw if box.height > box.width else box.yaw + math.pi / 2
        assert yaw_error(2 * found.yaw, 2 * axis) < 1e-3


@pytest.mark.parametrize(
    "corners",
    [
        [[0, 0], [10, 0], [10, 10]],
        [[0, 0], [10, 0], [10, 10], [math.nan, 10]],
        [[0, 0], [0, 0], [10, 10], [10, 10]],
        [[0, 0], [10, 10], [10, 0], [0, 10]],  # crossed
        [[0, 0], [10, 0], [30, 10], [20, 10]],  # a slanted parallelogram
        [[0, 0], [10, 0], [30, 10], [0, 10]],
    ],
)
def test_other_corners_are_refused(corners):
    with pytest.raises(ValueError, match="corners"):
        box_from_corners(corners)


@pytest.mark.parametrize("format", ["yolo", "dota"])
@settings(max_examples=30)
@given(box=boxes)
def test_text_files_give_the_box_back(format, box, tmp_path_factory):
    path = tmp_path_factory.mktemp("labels") / "a.txt"
    path.write_text(text_line(box, format=format, size=SIZE) + "\n")
    labels, errors = read_text(path, format=format, size=SIZE, has_heading=True)
    assert errors == []
    assert_same(labels[0].box, box)
    assert labels[0].place == f"{path}, line 1"


def test_the_formats_are_those_of_the_tools(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("3 0.25 0.1 0.5 0.1 0.5 0.4 0.25 0.4\n")
    (label,), _ = read_text(path, format="yolo", size=SIZE, has_heading=True)
    assert_same(label.box, RotatedBox(x=120, y=50, yaw=math.pi, width=80, height=60))  # the nose is up
    path.write_text(
        "imagesource:GoogleEarth\ngsd:0.1\n\n10 20 50 20 50 40 10 40 ship 1\n80.5 20 90 20 90 30 80.5 30 ship\n"
    )
    labels, errors = read_text(path, format="dota", size=SIZE, has_heading=False)
    assert errors == []
    assert_same(labels[0].box, RotatedBox(x=30, y=30, yaw=math.pi / 2, width=20, height=40), yaw_of=2)
    assert labels[1].place.endswith("line 5")


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_nothing_in_a_text_file_is_no_object(content, tmp_path):
    (tmp_path / "a.txt").write_text(content)
    assert read_text(tmp_path / "a.txt", format="yolo", size=SIZE, has_heading=True) == ([], [])
    assert read_text(tmp_path / "missing.txt", format="yolo", size=SIZE, has_heading=True) == ([], [])


def test_all_faults_of_a_text_file_are_found(tmp_path):
    path = tmp_path / "a.txt"
    good = "0 0.25 0.1 0.5 0.1 0.5 0.4 0.25 0.4"
    path.write_text(f"{good}\n0 1 2\n0 0.25 0.1 0.5 nan 0.5 0.4 0.25 0.4\n0 a b c d e f g h\n0 0 0 0 0 0 0 0 0\n")
    labels, errors = read_text(path, format="yolo", size=SIZE, has_heading=True)
    assert len(labels) == 1
    for number, (fault, message) in enumerate(
        zip(errors, ["got 3 words", "'nan' is not a finite number", "'a' is not a number", "corners"], strict=True),
        start=2,
    ):
        assert fault.startswith(f"{path}, line {number}: ")
        assert message in fault
    path.write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in read_text(path, format="dota", size=SIZE, has_heading=True)[1][0]


@settings(max_examples=30)
@given(box=boxes)
def test_csv_gives_the_box_back(box, tmp_path_factory):
    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    write_csv(path, {"a.png": box, 'odd, "name".png': None, "sub/b.png": box})
    labels, errors = read_csv(path)
    assert errors == []
    assert list(labels) == ["a.png", 'odd, "name".png', "sub/b.png"]
    assert labels['odd, "name".png'] == []
    assert_same(labels["a.png"][0].box, box)
    assert labels["sub/b.png"][0].place == f"{path}, line 4"


def test_all_faults_of_a_csv_file_are_found(tmp_path):
    path = tmp_path / "labels.csv"
    rows = ["a.png,1,2,0,4,5", "b.png,1,2", "c.png,1,2,0,4,", "d.png,1,2,x,4,5", "e.png,1,2,0,0,5", ",1,2,0,4,5", ""]
    path.write_text("image,x,y,yaw,width,height\n" + "\n".join(rows) + "\na.png,9,2,0,4,5\n")
    labels, errors = read_csv(path)
    assert [label.box.x for label in labels.pop("a.png")] == [1, 9]
    assert labels == dict.fromkeys(["b.png", "c.png", "d.png", "e.png"])  # known, but not to be used
    wanted = ["wanted 6 columns, got 3", "height missing", "'x' is not a number", "above 0 px", "no image name"]
    for number, (fault, message) in enumerate(zip(errors, wanted, strict=True), start=3):
        assert fault.startswith(f"{path}, line {number}: ")
        assert message in fault


def test_columns_may_come_in_any_order(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("\ufeffyaw, image,height,width,y,x\n0.5,a.png,30,20,40,50\n")
    labels, errors = read_csv(path)
    assert errors == []
    assert labels["a.png"][0].box == RotatedBox(x=50, y=40, yaw=0.5, width=20, height=30)


@pytest.mark.parametrize("content", [b"", b"a,b,c\n", b"\xff\xfe\x00"])
def test_files_that_are_no_such_csv_are_refused(content, tmp_path):
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"labels\.csv"):
        read_csv(tmp_path / "labels.csv")
    with pytest.raises(ValueError, match="cannot read labels"):
        read_csv(tmp_path / "missing.csv")


@given(st.text(max_size=200))
@settings(max_examples=100)
def test_no_content_of_a_label_file_crashes(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("labels")
    (folder / "a.txt").write_bytes(content.encode("utf-8", "replace"))
    for format in ("yolo", "dota"):
        labels, errors = read_text(folder / "a.txt", format=format, size=SIZE, has_heading=False)
        assert all(math.isfinite(label.box.x) for label in labels)
        assert all(fault.startswith(str(folder)) for fault in errors)
    (folder / "a.csv").write_bytes(f"image,x,y,yaw,width,height\n{content}".encode("utf-8", "replace"))
    with contextlib.suppress(ValueError):  # the csv module's own limits
        _, errors = read_csv(folder / "a.csv")
        assert all(fault.startswith(str(folder)) for fault in errors)


def test_rows_that_contradict_each_other_are_told_with_file_and_line(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("image,x,y,yaw,width,height\na,1,2,0,4,5\nb,,,,,\na,,,,,\nb,1,2,0,4,5\nc,,,,,\n")
    labels, errors = read_csv(path)
    assert labels == {"a": None, "b": None, "c": []}
    assert [fault.partition(":")[0] for fault in errors] == [f"{path}, line 4", f"{path}, line 5"]
    assert "a has another row" in errors[0]


def test_blank_rows_contradict_neither_each_other_nor_a_faulty_row(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("image,x,y,yaw,width,height\na,,,,,\na,,,,,\nb,1,2,x,4,5\nb,,,,,\n")
    labels, (fault,) = read_csv(path)
    assert labels == {"a": [], "b": None}
    assert "line 4: 'x' is not a number" in fault


def test_further_columns_are_passed_over(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("id,image,x,y,width,height,yaw,class\n7,a.png,50,40,20,30,0.5,ship\n8,b.png,,,,,,\n")
    labels, errors = read_csv(path)
    assert errors == []
    assert labels["a.png"][0].box == RotatedBox(x=50, y=40, yaw=0.5, width=20, height=30)
    assert labels["b.png"] == []
    path.write_text("image,x,x,y,width,height,yaw\n")
    with pytest.raises(ValueError, match="must begin with the line"):
        read_csv(path)


def test_yaws_in_degrees_are_told(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("image,x,y,yaw,width,height\na.png,50,40,-6.28,20,30\nb.png,50,40,30,20,30\n")
    labels, (fault,) = read_csv(path)
    assert labels["a.png"][0].box.yaw == -6.28
    assert "line 3: yaw 30 is more than a full turn; give radians (degrees * pi / 180), or wrap it" in fault
