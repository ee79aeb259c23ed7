"""The pretrained weights score what the documents say, on seeds that training never used."""

import math
import re

import numpy as np
import pytest

import centerdet
from centerdet.box import yaw_error
from centerdet.detector.pretrained import PRETRAINED, pretrained_path
from centerdet.strict_yaml import parse
from centerdet.training.config import Config, read_config
from tests.helpers import ROOT

README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def detector():
    return centerdet.load()


def test_the_accurate_weights_score_well(detector):
    report = centerdet.evaluate(detector, centerdet.benchmark_scenes(42, 300))
    assert report.ap > 0.97
    assert report.heading_accuracy > 0.98
    assert report.presence_accuracy > 0.98
    assert report.calibration_error < 0.03  # of 300 samples; docs/results.md has that of 10,000


def test_the_accurate_weights_have_less_than_a_million_parameters(detector):
    assert sum(parameter.numel() for parameter in detector.network.parameters()) < 1_000_000


def test_the_fast_weights_score_well():
    fast = centerdet.load("fast")
    assert sum(parameter.numel() for parameter in fast.network.parameters()) < 30_000
    report = centerdet.evaluate(fast, centerdet.benchmark_scenes(42, 300))
    assert report.ap > 0.97
    assert report.heading_accuracy > 0.98


@pytest.mark.parametrize(("name", "config", "ap"), [("accurate", "default", 0.93), ("fast", "fast", 0.9)])
def test_threshold_settings_and_reports_are_stored_with_the_weights(name, config, ap):
    detector = centerdet.load(name)
    assert 0 < detector.threshold < 1
    assert detector.metadata["validation"]["ap"] > ap
    for report in (detector.metadata["calibration"], detector.metadata["refinement"]):
        assert report["samples"] == detector.metadata["settings"]["validation"]["calibration_scenes"]
    assert centerdet.Calibration() not in (detector.calibration, detector.refinement.calibration)
    stored = {key: value for key, value in detector.metadata["settings"].items() if key != "intensity_range"}
    settings = read_config(ROOT / "configs" / f"{config}.yaml")
    assert parse(Config, stored) == settings  # keys that are newer than the weights have their defaults
    assert detector.network.config == settings.network
    assert detector.intensity_range is None


def test_integers_and_floats_give_the_same_box(detector):
    for image, _ in centerdet.benchmark_scenes(5, 10):
        detections = [detector(image), detector((image * 65535).round().astype(np.uint16))]
        assert (detections[0] is None) == (detections[1] is None)
        if detections[0]:
            first, second = (detection.box.to_array() for detection in detections)
            np.testing.assert_allclose(first[[0, 1, 3, 4]], second[[0, 1, 3, 4]], atol=0.5)


def test_larger_scenes_are_detected(detector):
    np.random.seed(0)
    hits = 0
    for _ in range(20):
        image, label = centerdet.make_data(has_spaceship=True, image_size=333)
        detection = detector(image)
        hits += detection is not None and centerdet.score_iou(detection.box.to_array(), label) > 0.5
    assert hits >= 17


def test_the_heatmap_peaks_at_the_object(detector):
    checked = 0
    for image, box in centerdet.benchmark_scenes(9, 20):
        detection = detector(image)
        if box is None or detection is None or yaw_error(detection.box.yaw, box.yaw) > math.radians(30):
            continue
        y, x = np.unravel_index(detector.heatmap(image).argmax(), image.shape)
        assert np.hypot(x - detection.box.x, y - detection.box.y) < 8
        checked += 1
    assert checked >= 12


def test_the_accurate_weights_are_the_default(detector):
    assert list(PRETRAINED) == ["accurate", "fast", "generic"]
    assert centerdet.load("accurate").metadata == detector.metadata != centerdet.load("fast").metadata
    assert centerdet.load(pretrained_path("fast")).metadata == centerdet.load("fast").metadata


def test_the_threshold_can_be_replaced(detector):
    assert centerdet.load(threshold=0.7).threshold == 0.7 != detector.threshold


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan"), "0.5"])
def test_a_threshold_outside_0_to_1_is_refused(threshold):
    with pytest.raises(ValueError, match=r"threshold must lie in \[0, 1\]"):
        centerdet.load("fast", threshold=threshold)


@pytest.mark.parametrize("device", ["abacus", "cuda:99"])
def test_a_missing_device_is_refused(device):
    with pytest.raises(ValueError, match=f"cannot use device '{device}'"):
        centerdet.load("fast", device=device)


def test_a_missing_file_is_refused_with_a_remedy(tmp_path):
    with pytest.raises(
        ValueError, match="no such file; give .*, or the name of pretrained weights: accurate, fast, generic"
    ):
        centerdet.load("fats")
    with pytest.raises(ValueError, match="there is no such file"):
        centerdet.load(tmp_path / "missing")
    with pytest.raises(ValueError, match="it is a folder, not a regular file; give a file"):
        centerdet.load(tmp_path)


def test_a_file_may_have_the_name_of_pretrained_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    centerdet.load("accurate").save("fast")
    count = sum(tensor.numel() for tensor in centerdet.load("./fast").network.parameters())
    assert count > sum(tensor.numel() for tensor in centerdet.load("fast").network.parameters())


@pytest.mark.slow
def test_the_accurate_weights_score_what_the_readme_says(detector):
    """On another seed than the README's, the intervals of 10,000 samples each overlap."""
    report = centerdet.evaluate(detector, centerdet.benchmark_scenes(777, 10_000))
    low, high = re.search(r"main.py`[^|]*\| \**[\d.]+\** \(([\d.]+) to ([\d.]+)\)", README).groups()
    assert report.ap_low <= float(high)
    assert report.ap_high >= float(low)
