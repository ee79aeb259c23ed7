"""The shipped weights do what the README says, on seeds that training never saw."""

import math
import re

import numpy as np
import pytest

import centerdet
from centerdet.box import yaw_error
from centerdet.strict_yaml import parse
from centerdet.training.config import Config, read_config
from tests.helpers import ROOT

README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def detector():
    return centerdet.load()


def test_the_shipped_weights_score_well(detector):
    report = centerdet.evaluate(detector, centerdet.benchmark_scenes(42, 600))
    assert report.ap > 0.935
    assert report.has_heading > 0.96
    assert report.presence > 0.96
    assert report.calibration_error < 0.04  # in 600 samples; the README has that of 10,000


def test_the_shipped_weights_have_less_than_a_million_parameters(detector):
    assert sum(parameter.numel() for parameter in detector.network.parameters()) < 1_000_000


def test_the_fast_weights_score_well_too():
    fast = centerdet.load("fast")
    assert sum(parameter.numel() for parameter in fast.network.parameters()) < 30_000
    report = centerdet.evaluate(fast, centerdet.benchmark_scenes(42, 600))
    assert report.ap > 0.88
    assert report.has_heading > 0.94


@pytest.mark.parametrize(("name", "config", "ap"), [("shipped", "default", 0.93), ("fast", "fast", 0.9)])
def test_threshold_settings_and_reports_are_stored_with_the_weights(name, config, ap):
    detector = centerdet.load(name)
    assert 0 < detector.threshold < 1
    assert detector.metadata["validation"]["ap"] > ap
    for report in (detector.metadata["calibration"], detector.metadata["refinement"]):
        assert report["samples"] == detector.metadata["settings"]["validation"]["calibration_scenes"]
    assert centerdet.Calibration() not in (detector.calibration, detector.refinement.calibration)
    trained = {key: value for key, value in detector.metadata["settings"].items() if key != "intensity"}
    settings = read_config(ROOT / "configs" / f"{config}.yaml")
    assert parse(Config, trained) == settings  # keys that came later have their defaults
    assert detector.network.config == settings.network
    assert detector.intensity_range is None


def test_integers_and_floats_of_the_same_picture_give_the_same_box(detector):
    for image, _ in centerdet.benchmark_scenes(5, 10):
        answers = [detector(image), detector((image * 65535).round().astype(np.uint16))]
        assert (answers[0] is None) == (answers[1] is None)
        if answers[0]:
            first, second = (answer.box.to_array() for answer in answers)
            np.testing.assert_allclose(first[[0, 1, 3, 4]], second[[0, 1, 3, 4]], atol=0.5)


def test_larger_scenes_work_too(detector):
    np.random.seed(0)
    hits = 0
    for _ in range(20):
        image, label = centerdet.make_data(has_spaceship=True, image_size=333)
        found = detector(image)
        hits += found is not None and centerdet.score_iou(found.box.to_array(), label) > 0.5
    assert hits >= 17


def test_the_heatmap_peaks_at_the_ship(detector):
    checked = 0
    for image, box in centerdet.benchmark_scenes(9, 20):
        found = detector(image)
        if box is None or found is None or yaw_error(found.box.yaw, box.yaw) > math.radians(30):
            continue
        y, x = np.unravel_index(detector.heatmap(image).argmax(), image.shape)
        assert np.hypot(x - found.box.x, y - found.box.y) < 8
        checked += 1
    assert checked >= 12


@pytest.mark.slow
def test_the_shipped_weights_score_what_the_readme_says(detector):
    """On another seed than the README's, the intervals of 10,000 samples each overlap."""
    report = centerdet.evaluate(detector, centerdet.benchmark_scenes(777, 10_000))
    low, high = re.search(r"main.py`[^|]*\| [\d.]+ \(([\d.]+) to ([\d.]+)\)", README).groups()
    assert report.ap_low <= float(high)
    assert report.ap_high >= float(low)
