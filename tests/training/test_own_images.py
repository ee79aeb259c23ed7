"""Training on a data set."""

import math

import numpy as np
import pytest

from centerdet import RotatedBox
from centerdet.data.augment import AugmentationConfig
from centerdet.data.crops import CropPhase
from centerdet.model.centernet import CenterNet, NetworkConfig
from centerdet.training.config import ImagesConfig
from centerdet.training.dataset_run import prepare_dataset_run
from centerdet.training.own_images import warn_about_pixels
from centerdet.training.sizes import crop_phases, fill_noise_level, fill_sizes
from tests.helpers import write_dataset


def test_a_split_without_objects_is_refused(tmp_path):
    path = write_dataset(tmp_path, "yolo")
    write_dataset(tmp_path, "yolo", boxes=[None], split="validation")
    with pytest.raises(ValueError, match="no image of the validation split of .* has an object"):
        prepare_dataset_run(path)


@pytest.mark.parametrize(
    ("pixels", "noise_level", "warning"),
    [(0.01, None, "reach only 0.010"), (0.9, 0.8, "above 0.8"), (0.9, None, None), (0.3, 0.8, None)],
)
def test_a_warning_if_the_network_can_see_little(pixels, noise_level, warning, caplog):
    network = CenterNet(NetworkConfig(channels=(8,), num_blocks=(1,), noise_level=noise_level))
    warn_about_pixels([(np.full((64, 64), pixels), None)], None, network)
    assert [warning in record.message for record in caplog.records] == ([True] if warning else [])


def test_sizes_follow_from_the_objects():
    small, large = (fill_sizes(ImagesConfig(), [RotatedBox(50, 50, 0, side, 2 * side)] * 30) for side in (8, 80))
    assert small.size_unit == pytest.approx(8 * math.sqrt(2), abs=0.1)
    assert large.size_unit == pytest.approx(80 * math.sqrt(2), abs=0.1)
    assert small.crop_size == 96
    assert 160 * math.sqrt(5) / 2 < large.crop_size < 320
    chosen = ImagesConfig(size_unit=20, crop_size=128)
    assert fill_sizes(chosen, [RotatedBox(50, 50, 0, 80, 80)]) == chosen


def test_crops_grow_in_the_course_of_training():
    assert [(phase.end_fraction, phase.crop_size) for phase in crop_phases(ImagesConfig(crop_size=128))] == [
        (0.08, 64),
        (0.65, 96),
        (0.85, 128),
        (1.0, 160),
    ]
    assert crop_phases(ImagesConfig(crop_size=96))[0].crop_size == 64  # not 48
    assert crop_phases(ImagesConfig(crop_size=96, growing_crops=False)) == (CropPhase(crop_size=96),)


def test_a_noise_level_that_the_images_share_is_used():
    rng = np.random.default_rng(0)
    scenes = [(rng.random((100, 100)) * 0.7, None) for _ in range(10)]
    config = fill_noise_level(ImagesConfig(), scenes, None)
    assert config.network.noise_level == pytest.approx(0.7, abs=0.003)
    assert config.network.noise_level >= max(image.max() for image, _ in scenes)
    assert config.augmentation == AugmentationConfig(flips=True, quarter_turns=True)


@pytest.mark.parametrize(
    ("levels", "config"),
    [
        ([0.7] * 10, ImagesConfig(measure_noise_level=False)),
        ([0.7] * 10, ImagesConfig(network=NetworkConfig(noise_level=0.9))),
        ([0.7] * 8 + [0.5] * 2, ImagesConfig()),
    ],
)
def test_a_noise_level_that_is_not_wanted_or_not_shared_is_not_used(levels, config):
    rng = np.random.default_rng(0)
    assert fill_noise_level(config, [(rng.random((100, 100)) * level, None) for level in levels], None) == config


def test_images_without_a_uniform_background_have_no_noise_level():
    rng = np.random.default_rng(0)
    scenes = [(rng.normal(0.5, 0.1, (100, 100)).clip(0, 1), None) for _ in range(5)]
    assert fill_noise_level(ImagesConfig(), scenes, None) == ImagesConfig()
