"""The noise level of an image is measured to a thousandth, and not at all where the background is not uniform."""

import time

import numpy as np
import pytest

from centerdet.noise_level import DEFAULT_LEVEL, estimate_noise_level
from centerdet.synthetic.scenes import draw_benchmark


@pytest.mark.parametrize("level", [0.5, 0.55, 0.6, 0.7, 0.79, 0.85, 0.9, 0.95, 1.0])
@pytest.mark.parametrize("num_lines", [6, 20])
def test_levels_are_measured_to_a_thousandth(level, num_lines):
    for scene in draw_benchmark(5, 20, noise_level=level, num_lines=num_lines):
        assert estimate_noise_level(scene.image) == pytest.approx(level, abs=1e-3)


@pytest.mark.parametrize("level", [0.5, 0.63, 0.9, 1.0])
def test_eight_bit_copies_are_measured_to_a_grey_level(level):
    for scene in draw_benchmark(6, 20, noise_level=level):
        grey = np.round(scene.image * 255).astype(np.uint8)
        measured = estimate_noise_level(grey.astype(np.float32) / 255)
        assert measured == pytest.approx(level, abs=1 / 255)
        assert measured * 255 == pytest.approx(round(measured * 255), abs=1e-3)


def test_default_scenes_have_exactly_the_default_level():
    for scene in draw_benchmark(7, 150):
        grey = np.round(scene.image * 255).astype(np.uint8)
        deep = np.round(scene.image * 65535).astype(np.uint16)
        assert estimate_noise_level(scene.image) == DEFAULT_LEVEL
        assert estimate_noise_level(grey.astype(np.float32) / 255) == DEFAULT_LEVEL
        assert estimate_noise_level(deep.astype(np.float32) / 65535) == DEFAULT_LEVEL


def test_hardly_a_background_pixel_lies_above_the_measured_level():
    for scene in draw_benchmark(8, 20, noise_level=0.7, num_lines=0):
        outline = 200  # px at most
        above = (scene.image > estimate_noise_level(scene.image)).sum()
        assert above <= 0.3 * outline + 8


def test_other_image_sizes_are_measured_too():
    rng = np.random.default_rng(0)
    for side, tolerance in ((64, 0.01), (128, 0.003), (400, 0.001)):
        image = 0.65 * rng.random((side, side))
        assert estimate_noise_level(image) == pytest.approx(0.65, abs=tolerance)


@pytest.mark.parametrize("name", ["black", "white", "dark", "gauss", "squares", "ramp", "steps", "few values"])
def test_other_backgrounds_have_no_level(name):
    rng = np.random.default_rng(1)
    uniform = rng.random((200, 200))
    images = {
        "black": np.zeros((200, 200)),
        "white": np.ones((200, 200)),
        "dark": 0.02 * uniform,
        "gauss": np.clip(0.5 + 0.2 * rng.standard_normal((200, 200)), 0, 1),
        "squares": uniform**2,
        "ramp": np.linspace(0, 1, 40_000).reshape(200, 200) ** 1.5,
        "steps": np.where(uniform < 0.4, 0.3 * rng.random((200, 200)), 0.8 * uniform),
        "few values": np.round(uniform * 4) / 4,
    }
    assert estimate_noise_level(images[name]) is None


def test_a_measurement_takes_a_fraction_of_a_millisecond():
    image = next(draw_benchmark(9, 1)).image.astype(np.float32)
    times = []
    for _ in range(50):
        start = time.perf_counter()
        estimate_noise_level(image)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.4e-3  # 0.13 ms on a calm core
