"""Labels of labelme."""

import json

import pytest
from hypothesis import given, settings

from centerdet.data.labelme import format_file
from tests.data.drawn import TURNS, assert_drawn, assert_round_trip, corners, read
from tests.helpers import label_boxes


def shape(points, **changes):
    return {"label": "ship", "points": points, "group_id": None, "shape_type": "oriented_rectangle", **changes}


def read_shapes(folder, *shapes, size=(200, 100)):
    content = {
        "version": "6.2.0",
        "shapes": shapes,
        "imagePath": "a.png",
        "imageWidth": size[0],
        "imageHeight": size[1],
    }
    (folder / "labels").mkdir(exist_ok=True)
    (folder / "labels" / "a.json").write_text(json.dumps(content))
    return read("labelme", folder / "labels", ["a.png"])


@pytest.mark.parametrize("turn", TURNS)
def test_the_arrow_from_the_first_point_to_the_second_points_to_the_nose(turn, tmp_path):
    top_left, top_right, bottom_right, bottom_left = corners(turn)  # before the turn; the top is the nose
    upwards = [bottom_left, top_left, top_right, bottom_right]
    mirrored = [bottom_right, top_right, top_left, bottom_left]
    for points in (upwards, mirrored):
        found, errors = read_shapes(tmp_path, shape(points), shape([[3, 4]], shape_type="point"))
        assert errors == []
        assert_drawn(found["a.png"][0], turn)


@settings(max_examples=20)
@given(box=label_boxes)
def test_a_written_box_is_read_back(box, tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    (folder / "a.json").write_text(format_file(box, image="a.png", size=(320, 200)))
    assert_round_trip("labelme", folder, box)  # b.png has no file
    (folder / "b.json").write_text(format_file(None, image="b.png", size=(320, 200)))
    assert_round_trip("labelme", folder, box)


SQUARE = [[0, 0], [9, 0], [9, 9], [0, 9]]


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (shape([[0, 0], [9, 9]], shape_type="rectangle"), "shape 1: wanted a shape of type 'oriented_rectangle'"),
        (shape(SQUARE[:3]), "wanted 4 points of 2 numbers"),
        (shape([[0, 0], [9, 0], [9, 9], [0, "x"]]), "point: 'x' is not a number"),
        (shape([[0, 0], [9, 0], [9, 9], [0, None]]), "point is missing"),
        (shape([SQUARE[0], SQUARE[2], SQUARE[1], SQUARE[3]]), "are not those of a rectangle"),
        (3, "wanted a shape of type"),
    ],
)
def test_wrong_shapes_are_errors(wrong, complaint, tmp_path):
    found, errors = read_shapes(tmp_path, wrong)
    assert found == {}
    assert errors[0].startswith(f"{tmp_path / 'labels' / 'a.json'}, shape 1: ")
    assert complaint in errors[0]


def test_labels_of_another_image_size_are_errors(tmp_path):
    found, (error,) = read_shapes(tmp_path, shape(SQUARE), size=(400, 100))
    assert found == {}
    assert "a.json: the labels are for 400 x 100 px, and the image has 200 x 100" in error


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"shapes": 3}', "[" * 100_000])
def test_other_files_are_errors(content, tmp_path):
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.json").write_text(content)
    found, (error,) = read("labelme", tmp_path / "labels", ["a.png"])
    assert found == {}
    assert "a.json" in error
