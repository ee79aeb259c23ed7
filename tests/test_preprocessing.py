"""Conversion of images to float32 in [0, 1]."""

import numpy as np
import pytest
import torch

from centerdet.preprocessing import to_unit_range


@pytest.mark.parametrize(
    ("dtype", "full"), [(np.uint8, 255), (np.uint16, 65535), (">u2", 65535), (np.float32, 1), (np.float16, 1)]
)
def test_every_type_is_scaled_by_its_full_range(dtype, full):
    image = np.zeros((64, 70), dtype)
    image[3, 4], image[5, 6] = full, full / 5
    unit = to_unit_range(image)
    assert unit.dtype == np.float32
    assert unit[3, 4] == 1
    assert unit[5, 6] == pytest.approx(0.2, abs=1e-4)


def test_the_result_is_a_copy_and_the_input_stays_unchanged():
    image = np.random.default_rng(0).random((64, 64), dtype=np.float32)
    image.flags.writeable = False
    unit = to_unit_range(image)
    assert not np.shares_memory(unit, image)
    np.testing.assert_array_equal(unit, image)


def test_an_intensity_range_beyond_half_precision_does_not_overflow():
    image = np.linspace(0, 60_000, 64 * 64).reshape(64, 64)
    unit = to_unit_range(image.astype(np.float16), (-50_000, 100_000))
    np.testing.assert_allclose(unit, (image + 50_000) / 150_000, atol=2e-4)


def test_tensors_and_strided_views_are_accepted():
    image = np.random.default_rng(0).random((130, 128))
    np.testing.assert_allclose(to_unit_range(image[::-2, ::2]), image[::-2, ::2], rtol=1e-6)
    np.testing.assert_allclose(to_unit_range(torch.from_numpy(image)), image, rtol=1e-6)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((64, 64, 3)), "2 dimensions"),
        (np.zeros((1, 64, 64)), "2 dimensions"),
        (np.zeros(64), "2 dimensions"),
        (np.float64(0.5), "2 dimensions"),
        (np.zeros((0, 0)), "at least 64 px"),
        (np.zeros((63, 200)), "at least 64 px"),
        (np.zeros((64, 64), bool), "got bool"),
        (np.zeros((64, 64), np.int32), "got int32"),
        (np.zeros((64, 64), complex), "got complex128"),
        (np.full((64, 64), "a"), "got <U1"),
        (np.full((64, 64), None), "got object"),
        (np.full((64, 64), np.nan), "finite"),
        (np.full((64, 64), np.inf), "finite"),
        (np.full((64, 64), 255.0), r"\[0, 1\], got 255 to 255"),
        (torch.rand(64, 64, requires_grad=True), "convertible to a numpy array"),
        (torch.rand(64, 64, dtype=torch.bfloat16), "convertible to a numpy array"),
        ([[1, 2], [3]], "convertible to a numpy array"),
        (np.full((64, 64), -0.1), r"\[0, 1\], got -0.1"),
    ],
)
def test_other_arrays_are_refused(image, message):
    with pytest.raises(ValueError, match=message):
        to_unit_range(image)


def test_an_intensity_range_beyond_that_of_the_type_is_accepted():
    image = np.full((64, 64), 6000, np.float16)
    np.testing.assert_allclose(to_unit_range(image, (0, 80_000)), 0.075, atol=1e-6)
