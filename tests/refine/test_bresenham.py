"""The pixels of straight segments are scikit-image's, and sums along them are exact enough."""

import numpy as np
import pytest
from skimage.draw import line

from centerdet.refine.bresenham import PAD, Segment, mask_segment, segment_pixels, segment_sum


def test_segments_are_those_of_scikit_image():
    for x0, y0, x1, y1 in np.random.default_rng(0).integers(0, 60, (2000, 4)).tolist():
        x, y = line(x0, y0, x1, y1)  # the generator's first axis is x
        np.testing.assert_array_equal(segment_pixels(x0, y0, x1, y1), np.stack([x, y], axis=1))


def test_long_segments_are_summed_up_as_short_ones_are():
    llr = np.random.default_rng(6).normal(size=(1200, 1200)).astype(np.float32)
    for ends in np.random.default_rng(7).integers(0, 1000, (200, 4)).tolist():
        x, y = line(*ends)
        expected = llr[y + PAD, x + PAD].astype(float).sum()
        assert segment_sum(llr, Segment(*ends)) == pytest.approx(expected, abs=1e-2)


def test_masking_zeroes_the_pixels_of_a_segment_and_no_others():
    llr = np.ones((60 + 2 * PAD, 60 + 2 * PAD), np.float32)
    mask_segment(llr, Segment(50, 3, 7, 20))
    expected = np.zeros((60, 60), bool)
    x, y = line(50, 3, 7, 20)
    expected[y, x] = True
    np.testing.assert_array_equal(llr[PAD:-PAD, PAD:-PAD] == 0, expected)
