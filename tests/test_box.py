import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from centerdet.box import RotatedBox, box_corners, box_to_image, paired_iou, yaw_error

boxes = st.builds(
    RotatedBox,
    x=st.floats(-50, 250),
    y=st.floats(-50, 250),
    yaw=st.floats(-10, 10),
    width=st.floats(1, 80),
    height=st.floats(1, 80),
)


@pytest.mark.parametrize(("yaw", "nose"), [(0, (50, 90)), (math.pi / 2, (70, 70)), (math.pi, (50, 50))])
def test_heading_is_down_at_yaw_0_and_turns_counter_clockwise_on_the_screen(yaw, nose):
    box = RotatedBox(x=50, y=70, yaw=yaw, width=10, height=40)
    np.testing.assert_allclose(box.nose(), nose, atol=1e-12)


def test_corners_go_nose_left_nose_right_tail_right_tail_left_in_the_boxs_frame():
    corners = RotatedBox(x=5, y=7, yaw=0, width=2, height=4).corners()
    np.testing.assert_allclose(corners, [(4, 9), (6, 9), (6, 5), (4, 5)])


@given(boxes)
def test_corners_span_width_and_height_around_the_centre(box):
    corners = box.corners()
    np.testing.assert_allclose(corners.mean(axis=0), [box.x, box.y], atol=1e-9)
    assert np.linalg.norm(corners[1] - corners[0]) == pytest.approx(box.width)
    assert np.linalg.norm(corners[2] - corners[1]) == pytest.approx(box.height)


@given(boxes)
def test_array_round_trip(box):
    assert RotatedBox.from_array(box.to_array()) == box


def test_whole_numbers_make_a_box_of_floats():
    box = RotatedBox.from_array([1, 2, 3, 4, 5])
    assert [type(value) for value in (box.x, box.y, box.yaw, box.width, box.height)] == [float] * 5


def test_five_nan_are_no_box():
    assert RotatedBox.from_array([math.nan] * 5) is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0, 0, math.nan, 1, 1), "finite"),
        ((0, math.inf, 0, 1, 1), "finite"),
        ((0, 0, 0, 0, 1), "above 0"),
        ((0, 0, 0, 1, 0), "above 0"),
        ((0, 0, 0, 1, -2), "above 0"),
    ],
)
def test_impossible_boxes_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        RotatedBox(*values)
    with pytest.raises(ValueError, match=message):
        RotatedBox.from_array(values)


def test_wrong_shape_is_refused():
    with pytest.raises(ValueError, match=r"shape \(4,\)"):
        RotatedBox.from_array([1, 2, 3, 4])


@given(boxes, boxes)
def test_iou_is_symmetric_bounded_and_blind_to_half_turns(first, second):
    a, b = first.to_array()[None], second.to_array()[None]
    iou = paired_iou(a, b)[0]
    assert 0 <= iou <= 1 + 1e-12
    assert iou == pytest.approx(paired_iou(b, a)[0], abs=1e-9)
    half_turn = np.array([0, 0, math.pi, 0, 0])
    assert iou == pytest.approx(paired_iou(a, b + half_turn)[0], abs=1e-9)
    assert paired_iou(a, a)[0] == pytest.approx(1)


def test_iou_of_half_shifted_squares_is_a_third():
    assert paired_iou([[0, 0, 0, 2, 2]], [[1, 0, 0, 2, 2]])[0] == pytest.approx(1 / 3)


def test_iou_of_nothing_is_0():
    nothing = np.zeros((1000, 5))
    assert not paired_iou(nothing, nothing).any()


def test_corners_of_many_agree_with_one():
    many = np.array([[1, 2, 3, 4, 5], [9, 8, 7, 6, 5.0]])
    for row, corners in zip(many, box_corners(many), strict=True):
        np.testing.assert_allclose(corners, RotatedBox.from_array(row).corners())


def test_yaw_error_wraps_around():
    assert yaw_error(0.1, 2 * math.pi - 0.1) == pytest.approx(0.2)
    assert yaw_error([0, 0], [math.pi, -math.pi / 2]) == pytest.approx([math.pi, math.pi / 2])


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (box_to_image, ([[100.1, 50.3, 0.7, 20.2, 30.9]], [[[1.1, 2.2]]])),
        (box_corners, ([[100.1, 50.3, 0.7, 20.2, 30.9]],)),
        (yaw_error, ([0.7, 3.9], [-0.1, 0.2])),
    ],
)
def test_single_precision_is_worked_on_in_double(function, arguments):
    single = [np.float32(argument) for argument in arguments]
    exact = function(*(argument.astype(np.float64) for argument in single))
    np.testing.assert_array_equal(function(*single), exact, strict=True)
