"""Detectors that measure the noise level of each image."""

import copy
import time
import warnings

import numpy as np
import pytest

import centerdet
from centerdet.noise_level import DEFAULT_LEVEL, check_noise_level, estimate_noise_level, rescale_background
from centerdet.synthetic.scenes import draw_benchmark
from tests.helpers import make_detector


@pytest.fixture(scope="module")
def fast():
    return centerdet.load("fast", noise_level=DEFAULT_LEVEL)


def images_at(level, count=8, seed=3):
    return [scene.image.astype(np.float32) for scene in draw_benchmark(seed, count, noise_level=level)]


def check_same_bits(detector, count):
    """Boxes and scores are the same bits, whether the level of default scenes is measured or not."""
    auto = detector.with_noise_level("auto")
    images = images_at(DEFAULT_LEVEL, count, seed=20_261_125)
    for batch in (images, [np.round(image * 255).astype(np.uint8) for image in images]):
        for one in (detector, auto):
            one.threshold = 0.0
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert auto.detect_batch(batch) == detector.detect_batch(batch)


def test_default_scenes_get_the_same_bits(fast):
    check_same_bits(copy.deepcopy(fast), 40)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["accurate", "fast"])
def test_a_thousand_default_scenes_get_the_same_bits(name):
    check_same_bits(centerdet.load(name, noise_level=DEFAULT_LEVEL), 1000)


def test_refined_default_scenes_get_the_same_bits(fast):
    images = images_at(DEFAULT_LEVEL, 6)
    auto = fast.with_noise_level("auto").with_refinement()
    assert auto.detect_batch(images) == fast.with_refinement().detect_batch(images)


@pytest.mark.parametrize("level", [0.6, 0.9])
def test_a_measured_level_equals_a_given_one(level, fast):
    auto = fast.with_noise_level("auto")
    for image in images_at(level):
        given = fast.with_noise_level(estimate_noise_level(image))
        np.testing.assert_allclose(auto.heatmap(image), given.heatmap(image), atol=1e-4)
    image = images_at(level, 1)[0]
    assert abs(auto.heatmap(image) - fast.heatmap(image)).max() > 1e-3


def test_one_batch_may_hold_images_of_several_levels(fast):
    auto, images = fast.with_noise_level("auto"), [images_at(level, 1)[0] for level in (0.6, 0.8, 0.9)]
    together, alone = auto.detect_batch(images), [auto.detect(image) for image in images]
    for one, other in zip(together, alone, strict=True):
        assert (one is None) == (other is None)
        if one:
            np.testing.assert_allclose(one.box.to_array(), other.box.to_array(), atol=1e-2)


def test_refinement_gets_the_measured_level(fast, monkeypatch):
    levels = []
    auto = fast.with_noise_level("auto").with_refinement()

    def refine_batch(images, guesses, *, threads, noise_levels):
        levels.extend(noise_levels)
        return [None] * len(images)

    monkeypatch.setattr(auto._refiner, "refine_batch", refine_batch)
    auto.detect_batch(images_at(0.9, 2) + images_at(DEFAULT_LEVEL, 2) + images_at(1.0, 2))
    assert levels[:2] == pytest.approx([0.9, 0.9], abs=1e-3)
    assert levels[2:4] == [DEFAULT_LEVEL, DEFAULT_LEVEL]
    assert all(level < 1 for level in levels[4:])


def test_refinement_is_better_with_the_measured_level(fast):
    refined = fast.with_refinement()
    auto = fast.with_noise_level("auto").with_refinement()
    scores = [
        centerdet.evaluate(one, centerdet.benchmark_scenes(4, 20, noise_level=0.9), count=20).ap
        for one in (refined, auto)
    ]
    assert scores[0] < 0.1
    assert scores[1] > 0.6


def test_a_background_that_is_not_flat_gives_one_warning_and_the_answer_of_the_weights(fast):
    photo = np.clip(np.random.default_rng(0).normal(0.5, 0.2, (200, 200)), 0, 1)
    auto = fast.with_noise_level("auto")
    with pytest.warns(UserWarning, match="not uniform noise.*train weights for them") as caught:
        found = [auto.detect_batch([photo]) for _ in range(3)]
    assert len(caught) == 1
    assert found == [fast.detect_batch([photo])] * 3


def test_the_setting_is_stored(tmp_path, fast):
    path = tmp_path / "auto.safetensors"
    fast.with_noise_level("auto").save(path)
    assert centerdet.load(path).noise_level == "auto"
    assert centerdet.load(path, noise_level=0.7).noise_level == 0.7
    fast.save(path)
    assert centerdet.load(path).noise_level == DEFAULT_LEVEL
    assert centerdet.load(path, noise_level="auto").noise_level == "auto"


def test_a_given_level_ends_measuring(fast):
    fixed = fast.with_noise_level("auto").with_noise_level(0.7)
    assert fixed.noise_level == fixed.network.config.noise_level == 0.7
    image = images_at(0.9, 1)[0]
    np.testing.assert_array_equal(fixed.heatmap(image), fast.with_noise_level(0.7).heatmap(image))


@pytest.mark.parametrize("level", [0, -0.1, 1.01, float("nan"), True, "automatic", None])
def test_other_levels_are_refused(level):
    with pytest.raises(ValueError, match="noise_level must lie in"):
        check_noise_level(level)


def test_networks_of_plain_pixels_have_no_level():
    with pytest.raises(ValueError, match="have no noise level"):
        make_detector(noise_level=None).with_noise_level("auto")


def test_rescaling_keeps_the_side_of_the_level():
    """Pixels on either side of the level stay on their side, to the last bit."""
    level = np.float32(0.9)
    image = np.array([[level, np.nextafter(level, np.float32(2)), np.nextafter(level, np.float32(0))]], np.float32)
    moved = rescale_background(image[None], np.array([level]), trained=0.8)[0, 0]
    assert (moved > np.float32(0.8)).tolist() == [False, True, False]


def test_measuring_a_batch_takes_a_fraction_of_a_millisecond_an_image(fast):
    auto, images = fast.with_noise_level("auto"), np.stack(images_at(DEFAULT_LEVEL, 32))
    times = []
    for _ in range(10):
        start = time.thread_time()
        auto._to_trained_level(images)
        times.append((time.thread_time() - start) / len(images))
    print(f"{min(times) * 1e3:.3f} ms")
    assert min(times) < 0.4e-3  # 0.16 ms on a calm core
