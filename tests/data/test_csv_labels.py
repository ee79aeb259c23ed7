"""CSV labels."""

import contextlib
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from centerdet import RotatedBox
from centerdet.data.csv_labels import read_csv, write_csv
from centerdet.data.labels import ErrorCollector
from tests.helpers import assert_same_box, label_boxes


def read(path):
    errors = ErrorCollector()
    return read_csv(path, has_heading=True, errors=errors), errors.messages


@settings(max_examples=30)
@given(box=label_boxes)
def test_written_boxes_are_read_back(box, tmp_path_factory):
    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    write_csv(path, {"a.png": box, 'odd, "name".png': None, "sub/b.png": box})
    labels, errors = read(path)
    assert errors == []
    assert list(labels) == ["a.png", 'odd, "name".png', "sub/b.png"]
    assert labels['odd, "name".png'] == []
    assert_same_box(labels["a.png"][0].box, box)
    assert labels["sub/b.png"][0].place == f"{path}, line 4"


@pytest.mark.parametrize(
    "name", [b"\xff\xfe", b"=cmd|", b"+1", b"@x", b"-x", b"a\nb", b"a\rb", b'"a"', b"a,b", b"x" * 245]
)
def test_any_name_is_read_back_and_is_no_formula(name, tmp_path):
    path, image = tmp_path / "labels.csv", os.fsdecode(name + b".png")
    write_csv(path, {image: None, "sub/a.png": None})
    assert read(path) == ({image: [], "sub/a.png": []}, [])
    assert path.read_bytes().splitlines()[1][:1] not in (b"=", b"+", b"@", b"-")


def test_all_errors_are_reported_with_file_and_line(tmp_path):
    path = tmp_path / "labels.csv"
    rows = ["a.png,1,2,0,4,5", "b.png,1,2", "c.png,1,2,0,4,", "d.png,1,2,x,4,5", "e.png,1,2,0,0,5", ",1,2,0,4,5", ""]
    path.write_text("image,x,y,yaw,width,height\n" + "\n".join(rows) + "\na.png,9,2,0,4,5\n")
    labels, errors = read(path)
    assert [label.box.x for label in labels.pop("a.png")] == [1, 9]
    assert labels == dict.fromkeys(["b.png", "c.png", "d.png", "e.png"])  # named, but with errors
    expected = ["wanted 6 columns, got 3", "height missing", "'x' is not a number", "above 0 px", "no image name"]
    for number, (error, message) in enumerate(zip(errors, expected, strict=True), start=3):
        assert error.startswith(f"{path}, line {number}: ")
        assert message in error


def test_columns_may_come_in_any_order(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("\ufeffyaw, image,height,width,y,x\n0.5,a.png,30,20,40,50\n")
    labels, errors = read(path)
    assert errors == []
    assert labels["a.png"][0].box == RotatedBox(x=50, y=40, yaw=0.5, width=20, height=30)


def test_further_columns_are_ignored(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("id,image,x,y,width,height,yaw,class\n7,a.png,50,40,20,30,0.5,ship\n8,b.png,,,,,,\n")
    labels, errors = read(path)
    assert errors == []
    assert labels["a.png"][0].box == RotatedBox(x=50, y=40, yaw=0.5, width=20, height=30)
    assert labels["b.png"] == []
    path.write_text("image,x,x,y,width,height,yaw\n")
    with pytest.raises(ValueError, match="must begin with the line"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"a,b,c\n", b"\xff\xfe\x00"])
def test_files_with_another_header_are_refused(content, tmp_path):
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"labels\.csv"):
        read(tmp_path / "labels.csv")
    with pytest.raises(ValueError, match="cannot read labels"):
        read(tmp_path / "missing.csv")


def test_rows_that_contradict_each_other_are_errors(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("image,x,y,yaw,width,height\na,1,2,0,4,5\nb,,,,,\na,,,,,\nb,1,2,0,4,5\nc,,,,,\n")
    labels, errors = read(path)
    assert labels == {"a": None, "b": None, "c": []}
    assert [error.partition(":")[0] for error in errors] == [f"{path}, line 4", f"{path}, line 5"]
    assert "a has another row" in errors[0]


def test_blank_rows_contradict_neither_each_other_nor_a_wrong_row(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("image,x,y,yaw,width,height\na,,,,,\na,,,,,\nb,1,2,x,4,5\nb,,,,,\n")
    labels, (error,) = read(path)
    assert labels == {"a": [], "b": None}
    assert "line 4: 'x' is not a number" in error


def test_yaws_in_degrees_are_errors(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("image,x,y,yaw,width,height\na.png,50,40,-6.28,20,30\nb.png,50,40,30,20,30\n")
    labels, (error,) = read(path)
    assert labels["a.png"][0].box.yaw == -6.28
    assert "line 3: yaw 30 is more than a full turn; give radians (degrees * pi / 180), or wrap it" in error


@given(st.text(max_size=200))
@settings(max_examples=100)
def test_no_content_crashes(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("labels")
    (folder / "a.csv").write_bytes(f"image,x,y,yaw,width,height\n{content}".encode("utf-8", "replace"))
    with contextlib.suppress(ValueError):  # limits of the csv module
        _, errors = read(folder / "a.csv")
        assert all(error.startswith(str(folder)) for error in errors)
