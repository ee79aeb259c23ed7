"""What the network sees of an image."""

import numpy as np
import pytest
import torch

from centerdet import NetworkConfig
from centerdet.model.input_encoding import DEVIATION_SCALE, LOCAL_SIDE, MAX_DEVIATION, standardise
from tests.helpers import make_detector, make_noise


def images(shape=(2, 1, 70, 90)):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("local", [False, True])
def test_contrast_and_offset_do_not_matter(local):
    torch.testing.assert_close(
        standardise(images() * 0.3 + 0.5, local=local), standardise(images(), local=local), rtol=0, atol=1e-4
    )


def test_the_first_channel_is_the_distance_from_the_mean():
    encoded = standardise(images(), local=True)
    assert encoded.shape == (2, 2, 70, 90)
    torch.testing.assert_close(encoded[:, 0].mean((1, 2)), torch.zeros(2), rtol=0, atol=1e-5)
    torch.testing.assert_close(
        encoded[:, 0].std((1, 2), correction=0), torch.full((2,), DEVIATION_SCALE), rtol=1e-4, atol=0
    )


def test_the_second_channel_is_that_from_the_surroundings():
    image, half = images(), LOCAL_SIDE // 2
    y, x = 30, 5  # the window leaves the image on the left
    window = image[0, 0, y - half : y + half + 1, 0 : x + half + 1].double()
    expected = (image[0, 0, y, x] - window.mean()) / window.std(correction=0) * DEVIATION_SCALE
    assert standardise(image, local=True)[0, 1, y, x].item() == pytest.approx(expected.item(), abs=1e-4)


def test_a_slope_of_brightness_vanishes_in_the_second_channel():
    slope = torch.linspace(0, 1, 200).expand(1, 1, 200, 200)
    encoded = standardise(slope, local=True)
    inner = encoded[..., 40:-40]
    assert inner[:, 1].abs().max() < 0.2 * inner[:, 0].abs().max()


def test_flat_images_and_single_bright_pixels_stay_bounded():
    flat = standardise(torch.full((1, 1, 64, 64), 0.3), local=True)
    assert flat.abs().max() < 0.01
    spot = torch.zeros(1, 1, 64, 64)
    spot[0, 0, 32, 32] = 1
    assert standardise(spot, local=True).max() == MAX_DEVIATION * DEVIATION_SCALE


def test_an_unknown_normalization_is_refused():
    with pytest.raises(ValueError, match="normalization must be one of none, image, local, got 'batch'"):
        NetworkConfig(normalization="batch")


def test_detectors_with_normalization_are_saved(tmp_path):  # tests/export/test_onnx.py exports one
    detector = make_detector(seed=1, noise_level=None, normalization="local")
    detector.threshold = 0.01
    detector.save(tmp_path / "model.safetensors")
    noise = make_noise(2, (90, 131))
    loaded = type(detector).load(tmp_path / "model.safetensors")
    assert loaded.detect_batch(noise) == detector.detect_batch(noise)
    np.testing.assert_allclose(detector.heatmap(noise[0] * 0.5), detector.heatmap(noise[0]), atol=1e-3)
