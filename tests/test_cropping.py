import numpy as np
import pytest

from centerdet.cropping import crop_bounds


def span(low, high):
    """A point at either end of an object's extent, the same along x and y."""
    return np.array([[low, low], [high, high]], dtype=float)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (40, 50, (31, 40)),  # the crop's last pixel on 50, or its first on 40
        (40.2, 49.8, (31, 40)),  # the pixels that hold the ends of the object
        (40, 59, (40, 40)),  # an object as wide as the crop
        (40, 69, (40, 50)),  # a larger one: the crop lies within it
        (5, 10, (0, 5)),
        (90, 95, (76, 80)),
        (-30, 10, (0, 0)),  # 10 px to the right of the border are visible
        (-30, -5, (0, 0)),  # nothing is visible: the crop at the nearest border
        (90, 130, (80, 80)),
        (120, 130, (80, 80)),
    ],
)
def test_bounds_hold_the_visible_part_of_the_object(low, high, expected):
    bounds = crop_bounds(span(low, high), image_size=100, crop_size=20)
    for corner, value in zip(bounds, expected, strict=True):
        assert corner.dtype == np.int64
        assert corner.tolist() == [value, value]


@pytest.mark.parametrize(
    ("center", "expected"),
    [
        (50, (31, 50)),
        (50.5, (32, 50)),  # between two pixels: both are in the crop
        (12, (10, 12)),
        (-7, (0, 0)),  # outside the image: its border
        (120, (80, 80)),
    ],
)
def test_a_crop_of_a_larger_object_holds_the_centre(center, expected):
    low, high = crop_bounds(span(10, 95), image_size=100, crop_size=20, center=(center, center))
    assert [low.tolist(), high.tolist()] == [[expected[0]] * 2, [expected[1]] * 2]


def test_the_centre_changes_nothing_where_the_object_fits():
    points = np.random.default_rng(0).uniform(20, 80, (200, 4, 2))
    center = points.mean(axis=1)
    for plain, centered in zip(
        crop_bounds(points, image_size=100, crop_size=64),
        crop_bounds(points, image_size=100, crop_size=64, center=center),
        strict=True,
    ):
        assert plain.shape == (200, 2)
        np.testing.assert_array_equal(plain, centered)


def test_x_and_y_have_bounds_of_their_own():
    low, high = crop_bounds(
        np.array([[40.0, 10.0], [50.0, 12.0]]), image_size=np.array([100, 30]), crop_size=np.array([20, 30])
    )
    assert (low.tolist(), high.tolist()) == ([31, 0], [40, 0])


def test_every_corner_in_the_bounds_and_no_other_holds_the_object():
    rng = np.random.default_rng(0)
    for _ in range(300):
        start = rng.uniform(0, 80)
        end = start + rng.uniform(0, min(18, 99 - start))
        low, high = crop_bounds(span(start, end), image_size=100, crop_size=20)
        holding = [corner for corner in range(81) if corner <= np.floor(start) and np.ceil(end) <= corner + 19]
        assert list(range(low[0], high[0] + 1)) == holding
