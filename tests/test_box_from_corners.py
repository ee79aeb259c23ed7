"""Boxes from the corners of labels."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from centerdet.box import box_from_corners, yaw_error
from tests.helpers import assert_same_box, label_boxes


@given(label_boxes)
def test_the_corners_of_a_box_give_the_box(box):
    assert_same_box(box_from_corners(box.corners()), box)


@given(label_boxes)
def test_mirrored_corners_give_the_same_box(box):
    nose_left, nose_right, tail_right, tail_left = box.corners()
    assert_same_box(box_from_corners([nose_right, nose_left, tail_left, tail_right]), box)


@given(label_boxes, st.integers(0, 3))
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
def test_corners_of_no_rectangle_are_refused(corners):
    with pytest.raises(ValueError, match="corners"):
        box_from_corners(corners)
