"""DOTA labels."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from centerdet import RotatedBox
from centerdet.data.dota import format_line, read_file
from centerdet.data.labels import ErrorCollector
from tests.helpers import assert_same_box, label_boxes


def read(path, *, has_heading=True):
    errors = ErrorCollector()
    return read_file(path, size=(320, 200), has_heading=has_heading, errors=errors), errors.messages


@settings(max_examples=30)
@given(box=label_boxes)
def test_a_written_box_is_read_back(box, tmp_path_factory):
    path = tmp_path_factory.mktemp("labels") / "a.txt"
    path.write_text(format_line(box) + "\n")
    labels, errors = read(path)
    assert errors == []
    assert_same_box(labels[0].box, box)
    assert labels[0].place == f"{path}, line 1"


def test_metadata_is_ignored_and_difficulty_may_be_missing(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(
        "imagesource:GoogleEarth\ngsd:0.1\n\n10 20 50 20 50 40 10 40 ship 1\n80.5 20 90 20 90 30 80.5 30 ship\n"
    )
    labels, errors = read(path, has_heading=False)
    assert errors == []
    assert_same_box(labels[0].box, RotatedBox(x=29.5, y=29.5, yaw=math.pi / 2, width=20, height=40), turns=2)
    assert labels[1].place.endswith("line 5")


def test_wrong_lines_and_files_are_errors(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("0 0 10 0 10 20 0 20\n")
    labels, (error,) = read(path)
    assert labels == []
    assert f"{path}, line 1: wanted 8 numbers, category and perhaps difficulty, got 8 words" in error
    path.write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in read(path)[1][0]


@given(st.text(max_size=200))
@settings(max_examples=100)
def test_no_content_crashes(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("labels")
    (folder / "a.txt").write_bytes(content.encode("utf-8", "replace"))
    labels, errors = read(folder / "a.txt", has_heading=False)
    assert all(math.isfinite(label.box.x) for label in labels)
    assert all(error.startswith(str(folder)) for error in errors)
