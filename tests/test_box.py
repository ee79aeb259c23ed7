"""Boxes: the convention, corners, IoU and yaw errors."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from centerdet.box import Detection, RotatedBox, box_corners, box_from_corners, box_to_image, paired_iou, yaw_error

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


def test_corners_are_nose_left_nose_right_tail_right_tail_left():
    corners = RotatedBox(x=5, y=7, yaw=0, width=2, height=4).corners()
    np.testing.assert_allclose(corners, [(4, 9), (6, 9), (6, 5), (4, 5)])


@given(boxes)
def test_corners_follow_each_other_counter_clockwise_on_the_screen(box):
    x, y = box.corners().T
    area = (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2  # negative: y points down
    assert area == pytest.approx(-box.width * box.height)


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


def test_five_nan_mean_no_box():
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
def test_iou_is_symmetric_bounded_and_ignores_half_turns(first, second):
    a, b = first.to_array()[None], second.to_array()[None]
    iou = paired_iou(a, b)[0]
    assert 0 <= iou <= 1 + 1e-12
    assert iou == pytest.approx(paired_iou(b, a)[0], abs=1e-9)
    half_turn = np.array([0, 0, math.pi, 0, 0])
    assert iou == pytest.approx(paired_iou(a, b + half_turn)[0], abs=1e-9)
    assert paired_iou(a, a)[0] == pytest.approx(1)


def test_iou_of_half_shifted_squares_is_a_third():
    assert paired_iou([[0, 0, 0, 2, 2]], [[1, 0, 0, 2, 2]])[0] == pytest.approx(1 / 3)


def test_iou_of_empty_boxes_is_0():
    nothing = np.zeros((1000, 5))
    assert not paired_iou(nothing, nothing).any()


def test_corners_of_many_agree_with_one():
    many = np.array([[1, 2, 3, 4, 5], [9, 8, 7, 6, 5.0]])
    for row, corners in zip(many, box_corners(many), strict=True):
        np.testing.assert_allclose(corners, RotatedBox.from_array(row).corners())


def assert_same(found, box, *, turns=1):
    np.testing.assert_allclose(found.to_array()[[0, 1, 3, 4]], box.to_array()[[0, 1, 3, 4]], atol=1e-3)
    assert yaw_error(turns * found.yaw, turns * box.yaw) < 1e-3


@given(boxes)
def test_corners_give_their_box(box):
    assert_same(box_from_corners(box.corners()), box)


@given(boxes)
def test_mirrored_corners_give_the_same_box(box):
    nose_left, nose_right, tail_right, tail_left = box.corners()
    assert_same(box_from_corners([nose_right, nose_left, tail_left, tail_right]), box)


@given(boxes, st.integers(0, 3))
@example(RotatedBox(x=0, y=0, yaw=2.220446049250313e-16, width=2, height=1), 0)
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
def test_corners_of_other_shapes_are_refused(corners):
    with pytest.raises(ValueError, match="corners"):
        box_from_corners(corners)


def test_corners_may_be_integers_of_any_kind():
    corners = np.array([[10, 0], [0, 0], [0, 20], [10, 20]])  # differences are negative, which uint8 cannot hold
    box = RotatedBox(5, 10, math.pi, 10, 20)
    for dtype in (np.uint8, np.int16, np.uint32, np.float32):
        assert box_from_corners(corners.astype(dtype)) == box


def test_a_square_without_a_heading_keeps_the_direction_of_its_corners():
    square = RotatedBox(50, 60, 0.0, 10, 10)
    assert box_from_corners(square.corners(), has_heading=False) == square


def make_trapezoid(skew):
    """Corners 10 px wide at the nose and ``skew`` px wider at the tail, 20 px long."""
    return [[0, 20], [10, 20], [10 + skew, 0], [0, 0]]


def test_slightly_skewed_corners_are_accepted_up_to_the_tolerance():
    box = box_from_corners(make_trapezoid(3.0))  # the tolerance is 20 % of the longer side, 4 px
    assert (box.width, box.height) == pytest.approx((11.5, math.hypot(1.5, 20)))
    with pytest.raises(ValueError, match=r"\[\[0.0, 20.0\], .* are not those of a rectangle; list them"):
        box_from_corners(make_trapezoid(4.5))
    symmetric = [[-2.5, 10], [2.5, 10], [1.5, 0], [-1.5, 0]]  # a skew of 2 px, exactly the tolerance
    assert box_from_corners(symmetric) == RotatedBox(0, 5, 0, 4, 10)


def make_parallelogram(size, cosine):
    """Corners of a parallelogram with sides ``size`` px and the given cosine of the angle between them."""
    x, y = size * cosine, size * math.sqrt(1 - cosine**2)
    return [[x, y], [x + size, y], [size, 0], [0, 0]]


@pytest.mark.parametrize("size", [0.5, 10.0])
def test_slanted_corners_are_accepted_up_to_the_tolerance(size):
    box = box_from_corners(make_parallelogram(size, 0.18))  # the tolerance is a cosine of 0.2
    assert (box.width, box.height) == pytest.approx((size, size))
    with pytest.raises(ValueError, match="not those of a rectangle"):
        box_from_corners(make_parallelogram(size, 0.22))


def test_a_detection_is_a_dictionary_of_numbers():
    detection = Detection(RotatedBox(1, 2, 0.5, 3, 4), 0.75, has_heading=False)
    box = {"x": 1, "y": 2, "yaw": 0.5, "width": 3, "height": 4}
    assert detection.to_dict() == {"score": 0.75, "box": box, "has_heading": False}


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
def test_single_precision_is_computed_in_double(function, arguments):
    single = [np.float32(argument) for argument in arguments]
    exact = function(*(argument.astype(np.float64) for argument in single))
    np.testing.assert_array_equal(function(*single), exact, strict=True)
