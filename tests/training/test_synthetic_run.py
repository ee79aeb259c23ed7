"""Runs on synthetic scenes: training, calibration and refinement, as train.py does them."""

from dataclasses import replace

import pytest

import centerdet
from centerdet.training.config import read_config
from centerdet.training.synthetic_run import calibrate_best, calibrate_refinement, train_synthetic
from tests.helpers import ROOT

CONFIG = read_config(ROOT / "configs" / "smoke.yaml")


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("synthetic")
    train_synthetic(CONFIG, directory=directory)
    return directory


def test_the_reports_and_settings_are_stored_with_the_best_weights(directory):
    reports = calibrate_best(directory, CONFIG), calibrate_refinement(directory, CONFIG)
    detector = centerdet.load(directory / "best.safetensors")
    for name, report in zip(("calibration", "refinement"), reports, strict=True):
        assert detector.metadata[name] == report.to_dict()
        assert report.samples == CONFIG.validation.calibration_scenes
    assert detector.refinement.scene.noise_level == CONFIG.scenes.noise_level
    assert detector.refinement.scene.num_lines == CONFIG.scenes.num_lines
    assert detector.metadata["settings"] == {**CONFIG.to_dict(), "intensity_range": None}


def test_scenes_of_noise_level_1_have_no_refinement(directory):
    network = replace(CONFIG.network, noise_level=None)
    config = replace(CONFIG, network=network, scenes=replace(CONFIG.scenes, noise_level=1.0))
    assert calibrate_refinement(directory, config) is None
