"""Boxes as labelling tools draw them."""

import math

import numpy as np
import pytest
from hypothesis import given

from centerdet import RotatedBox
from centerdet.data.drawn_box import DrawnBox, box_from_drawn_corners, turn_nose
from centerdet.data.yolo_obb import format_line
from tests.data.drawn import TURNS, assert_drawn, corners
from tests.helpers import assert_same_box, label_boxes


@pytest.mark.parametrize("turn", TURNS)
def test_the_top_of_the_drawn_box_is_the_nose(turn):
    drawn = DrawnBox(100, 50, 20, 40, math.radians(turn))
    assert_drawn(drawn.to_box(), turn)
    np.testing.assert_allclose(drawn.top_left(), TURNS[turn][0], atol=1e-4)
    np.testing.assert_allclose(drawn.corners(), corners(turn), atol=1e-4)


@given(box=label_boxes)
def test_a_box_is_drawn_and_read_back(box):
    drawn = DrawnBox.from_box(box)
    assert 0 <= drawn.angle < 2 * math.pi + 1e-12
    assert_same_box(drawn.to_box(), box)


def test_tools_measure_from_the_outer_corner_of_the_first_pixel():
    """A box around all pixels of an image of 200 x 100 px goes from (0, 0) to (200, 100)."""
    whole = RotatedBox(99.5, 49.5, math.pi, 200, 100)
    corners = [[0, 0], [200, 0], [200, 100], [0, 100]]
    np.testing.assert_allclose(DrawnBox.from_box(whole).corners(), corners, atol=1e-9)
    assert_same_box(box_from_drawn_corners(np.array(corners)), whole)
    line = [float(word) for word in format_line(whole, size=(200, 100)).split()[1:]]
    assert sorted(zip(line[::2], line[1::2], strict=True)) == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_without_a_heading_the_yaw_is_that_of_the_longer_side():
    box = DrawnBox(100, 50, 40, 20, math.pi).to_box(has_heading=False)
    assert_same_box(box, RotatedBox(99.5, 49.5, math.pi / 2, 20, 40), turns=2)


@pytest.mark.parametrize(
    ("nose", "yaw", "size"),
    [
        ("top", math.pi, (20, 40)),
        ("right", math.pi / 2, (40, 20)),
        ("bottom", 0, (20, 40)),
        ("left", -1.5708, (40, 20)),
    ],
)
def test_another_side_can_be_the_nose(nose, yaw, size):
    upright = DrawnBox(100, 50, 20, 40, 0).to_box()
    turned = turn_nose(upright, nose)
    assert_same_box(turned, RotatedBox(99.5, 49.5, yaw, *size))
    middle = {"top": (100, 30), "right": (110, 50), "bottom": (100, 70), "left": (90, 50)}[nose]
    np.testing.assert_allclose(turned.nose() + 0.5, middle, atol=1e-6)
