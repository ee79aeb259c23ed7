"""Segments have exactly the pixels of scikit-image's, and the noise is uniform."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from skimage.draw import line, polygon_perimeter

from centerdet.synthetic.raster import LEVELS, draw_uniform, overlay, rasterise
from centerdet.synthetic.ship import outline


def make_rng(seed):
    return np.random.Generator(np.random.SFC64(seed))


def pixels_of(segments, drawn=None):
    """The pixels of each segment as (x, y), ``(n, 2)``, in order."""
    position, segment, lengths = rasterise(segments, drawn)
    assert torch.equal(torch.bincount(segment, minlength=len(segments)), torch.from_numpy(lengths))
    return [part.T.numpy() for part in position.split(lengths.tolist(), dim=1)]


def test_segments_match_scikit_image_pixel_for_pixel_and_in_order():
    rng = np.random.default_rng(0)
    segments = np.concatenate(
        [
            rng.integers(0, 4, (500, 2, 2)),  # many of length 0, or diagonal
            rng.integers(0, 200, (5000, 2, 2)),
            rng.integers(-20, 60, (2000, 2, 2)),
            rng.integers(1500, 2000, (1000, 2, 2)),
            rng.integers(-2000, -1500, (500, 2, 2)),
        ]
    )
    for segment, drawn in zip(segments, pixels_of(segments), strict=True):
        np.testing.assert_array_equal(drawn, np.stack(line(*segment.ravel()), axis=1))


def test_segments_of_every_slope_match_scikit_image():
    ends = np.stack(np.meshgrid(np.arange(-60, 61), np.arange(-60, 61)), axis=-1).reshape(-1, 2)
    segments = np.stack([np.zeros_like(ends), ends], axis=1)
    for end, drawn in zip(ends, pixels_of(segments), strict=True):
        np.testing.assert_array_equal(drawn, np.stack(line(0, 0, *end), axis=1))


def test_outlines_match_scikit_image():
    rng = np.random.default_rng(1)
    count = 3000
    width = rng.integers(18, 37, count)
    center, yaw = rng.integers(10, 190, (2, count)), rng.random(count) * 2 * np.pi
    boxes = np.stack([*center, yaw, width, width * abs(rng.normal(1.5, 0.2, count))], 1)
    vertices = outline(boxes, abs(rng.normal(1 / 3, 0.1, count)))
    edges = np.stack([vertices, np.roll(vertices, -1, axis=1)], axis=2).round().astype(np.int64)
    drawn = pixels_of(edges.reshape(-1, 2, 2))
    for index in range(count):
        expected = set(zip(*(axis.tolist() for axis in polygon_perimeter(*vertices[index].T)), strict=True))
        assert set(map(tuple, np.concatenate(drawn[4 * index : 4 * index + 4]).astype(int).tolist())) == expected


def test_segments_that_are_not_drawn_have_no_pixels():
    segments = np.array([[[0, 0], [3, 1]], [[5, 5], [9, 9]], [[2, 2], [2, 2]]])
    first, second, third = pixels_of(segments, np.array([True, False, True]))
    assert (len(first), len(second), len(third)) == (4, 0, 1)
    np.testing.assert_array_equal(third, [[2, 2]])


def test_zero_segments_can_be_rasterised():
    position, segment, lengths = rasterise(np.zeros((0, 2, 2), dtype=np.int64))
    assert position.shape == (2, 0)
    assert len(segment) == len(lengths) == 0


@pytest.mark.parametrize("high", [1.0, 0.8, 0.6, 0.1])
def test_uniform_values_are_midpoints_of_equal_intervals(high):
    values = draw_uniform(make_rng(0), 1_000_001, high=high)
    assert values.dtype == torch.float32
    assert values.shape == (1_000_001,)
    assert values.min() > 0
    assert values.max() < high  # in single precision, too: brighter pixels are part of a stroke
    steps = values.double() / high * LEVELS - 0.5
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=0.01)
    assert steps.round().min() == 0
    assert steps.round().max() == LEVELS - 1


def test_uniform_values_are_equally_likely_and_independent():
    """Chi-square tests of the values, and of pairs at a distance; all together fail by chance for 1 seed in 1,000."""
    values = draw_uniform(make_rng(1), 4_000_000)
    p_values = [chisquare(torch.histc(values, LEVELS, 0, 1)).pvalue]
    for distance in (1, 2, 3, 4, 200):
        few = values[: len(values) // (2 * distance) * 2 * distance].mul(32).long().view(-1, 2, distance)
        p_values.append(chisquare(torch.bincount((few[:, 0] * 32 + few[:, 1]).ravel(), minlength=1024)).pvalue)
    assert min(p_values) > 1.6e-4, p_values


def test_the_last_stroke_counts_at_crossings_and_brighter_pixels_stay():
    pixels = torch.tensor([0.5, 0.5, 0.5, 0.5])
    places, values = torch.tensor([0, 1, 2, 1, 2]), torch.tensor([0.9, 0.9, 0.2, 0.7, 0.8])
    overlay(pixels, places, values, [3, 2])
    torch.testing.assert_close(pixels, torch.tensor([0.9, 0.7, 0.8, 0.5]))
    overlay(pixels, torch.tensor([3, 3]), torch.tensor([0.9, 0.1]), [1, 1])
    assert pixels[3] == 0.5
