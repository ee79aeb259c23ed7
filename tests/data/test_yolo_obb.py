"""YOLO-OBB labels."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from centerdet import RotatedBox
from centerdet.data.labels import ErrorCollector
from centerdet.data.yolo_obb import format_line, read_file
from tests.helpers import assert_same_box, label_boxes

SIZE = (320, 200)  # width, height


def read(path, *, has_heading=True):
    errors = ErrorCollector()
    return read_file(path, size=SIZE, has_heading=has_heading, errors=errors), errors.messages


@settings(max_examples=30)
@given(box=label_boxes)
def test_a_written_box_is_read_back(box, tmp_path_factory):
    path = tmp_path_factory.mktemp("labels") / "a.txt"
    path.write_text(format_line(box, size=SIZE) + "\n")
    labels, errors = read(path)
    assert errors == []
    assert_same_box(labels[0].box, box)
    assert labels[0].place == f"{path}, line 1"


def test_a_line_as_labelling_tools_write_it(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("3 0.25 0.1 0.5 0.1 0.5 0.4 0.25 0.4\n")
    (label,), _ = read(path)
    assert_same_box(label.box, RotatedBox(x=119.5, y=49.5, yaw=math.pi, width=80, height=60))  # the nose is up


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_an_empty_or_missing_file_means_no_object(content, tmp_path):
    (tmp_path / "a.txt").write_text(content)
    assert read(tmp_path / "a.txt") == ([], [])
    assert read(tmp_path / "missing.txt") == ([], [])


def test_all_errors_are_reported_with_file_and_line(tmp_path):
    path = tmp_path / "a.txt"
    good = "0 0.25 0.1 0.5 0.1 0.5 0.4 0.25 0.4"
    path.write_text(f"{good}\n0 1 2\n0 0.25 0.1 0.5 nan 0.5 0.4 0.25 0.4\n0 a b c d e f g h\n0 0 0 0 0 0 0 0 0\n")
    labels, errors = read(path)
    assert len(labels) == 1
    for number, (error, message) in enumerate(
        zip(errors, ["got 3 words", "'nan' is not a finite number", "'a' is not a number", "corners"], strict=True),
        start=2,
    ):
        assert error.startswith(f"{path}, line {number}: ")
        assert message in error


@given(st.text(max_size=200))
@settings(max_examples=100)
def test_no_content_crashes(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("labels")
    (folder / "a.txt").write_bytes(content.encode("utf-8", "replace"))
    labels, errors = read(folder / "a.txt", has_heading=False)
    assert all(math.isfinite(label.box.x) for label in labels)
    assert all(error.startswith(str(folder)) for error in errors)
