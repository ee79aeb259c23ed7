"""What training on a data set starts from."""

import numpy as np
import pytest
import torch

import centerdet
from centerdet.model.codec import CodecConfig
from centerdet.training.config import ImagesConfig
from centerdet.training.dataset_run import prepare_dataset_run
from centerdet.training.own_images import _make_model
from tests.helpers import make_detector, make_noise, write_dataset


@pytest.fixture
def dataset(tmp_path):
    path = write_dataset(tmp_path, "yolo")
    write_dataset(tmp_path, "yolo", split="validation")
    return path


@pytest.mark.parametrize(
    ("arguments", "generic"),
    [
        ({}, True),
        ({"init": "none"}, False),
        ({"overrides": ["network.channels=[8,8,8]"]}, False),
        ({"overrides": [' network ={"channels": [8, 8, 8]}']}, False),
        ({"overrides": ["network.channels=[8,8,8]"], "init": "generic"}, True),
        ({"overrides": ["training.steps=50"]}, True),
    ],
)
def test_training_starts_from_the_generic_weights_unless_a_network_is_described(dataset, arguments, generic):
    run = prepare_dataset_run(dataset, **arguments)
    assert (run.init_from is not None) == generic
    if generic:
        assert run.init_from.metadata == centerdet.load("generic").metadata
    assert f"starts from {'the weights generic' if generic else 'random weights'}" in run.choices[-1]


def test_images_of_one_noise_level_start_from_scratch(dataset, monkeypatch):
    noise = iter(make_noise(200, (96, 128)))
    monkeypatch.setattr("centerdet.data.dataset.read_usable", lambda path, check: 0.6 * next(noise))
    run = prepare_dataset_run(dataset)
    assert run.init_from is None
    assert run.config.network.noise_level == pytest.approx(0.6, abs=0.01)


def test_a_weights_file_can_be_the_start(dataset, tmp_path):
    make_detector(noise_level=None).save(tmp_path / "mine.safetensors")
    run = prepare_dataset_run(dataset, init=str(tmp_path / "mine.safetensors"))
    assert run.init_from.network.config.channels == (8, 8)
    with pytest.raises(ValueError, match="cannot load weights genric: .* accurate, fast, generic"):
        prepare_dataset_run(dataset, init="genric")


def test_a_network_that_goes_on_with_another_size_unit_predicts_the_same_boxes():
    detector = make_detector(noise_level=None)
    network, codec = _make_model(ImagesConfig(size_unit=77.0), detector, True)
    assert codec.config.size_unit == 77 != CodecConfig().size_unit == detector.codec.config.size_unit
    images = torch.from_numpy(np.stack(make_noise(2)))[:, None].float()
    with torch.no_grad():
        expected, _ = detector.codec.decode(detector.network.eval()(images))
        found, _ = codec.decode(network.eval()(images))
    torch.testing.assert_close(found, expected)
