"""Training on a data set."""

import math

import numpy as np
import pytest

from centerdet import RotatedBox
from centerdet.model.centernet import CenterNet, NetworkConfig
from centerdet.training.config import ImagesConfig
from centerdet.training.dataset_run import prepare_dataset_run
from centerdet.training.own_images import warn_about_pixels
from centerdet.training.sizes import fill_sizes
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
