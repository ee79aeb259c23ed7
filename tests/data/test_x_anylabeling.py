"""Labels of X-AnyLabeling."""

import json
import math

import pytest
from hypothesis import given, settings

from centerdet.data.x_anylabeling import format_file
from tests.data.drawn import TURNS, assert_drawn, assert_round_trip, corners, read
from tests.helpers import label_boxes


def read_shape(folder, has_heading=True, **shape):
    content = {
        "version": "4.0.0",
        "shapes": [{"label": "ship", "shape_type": "rotation", **shape}],
        "imagePath": "a.png",
    }
    (folder / "labels").mkdir(exist_ok=True)
    (folder / "labels" / "a.json").write_text(json.dumps(content))
    return read("x-anylabeling", folder / "labels", ["a.png"], has_heading=has_heading)


@pytest.mark.parametrize("turn", TURNS)
def test_the_side_of_the_first_two_points_is_the_nose(turn, tmp_path):
    found, errors = read_shape(tmp_path, points=corners(turn), direction=math.radians(turn))
    assert errors == []
    assert_drawn(found["a.png"][0], turn)


@settings(max_examples=20)
@given(box=label_boxes)
def test_a_written_box_is_read_back(box, tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    (folder / "a.json").write_text(format_file(box, image="a.png", size=(320, 200)))
    (folder / "b.json").write_text(format_file(None, image="b.png", size=(320, 200)))
    assert_round_trip("x-anylabeling", folder, box)


@pytest.mark.parametrize(
    ("direction", "complaint"),
    [
        (math.radians(210), "direction is 210.0 degrees, but the first two points have 30.0"),
        (None, "direction is missing"),
    ],
)
def test_the_direction_must_be_that_of_the_points(direction, complaint, tmp_path):
    found, (error,) = read_shape(tmp_path, points=corners(30), direction=direction)
    assert found == {}
    assert complaint in error
    found, errors = read_shape(tmp_path, has_heading=False, points=corners(30), direction=direction)
    assert errors == []
    assert found["a.png"][0].height == pytest.approx(40, abs=1e-3)
