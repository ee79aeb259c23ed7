"""The second stage as part of a detector: results, weights file, and export."""

from __future__ import annotations

import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from centerdet.detector.detector import Detector
from centerdet.detector.pretrained import load
from centerdet.detector.second_stage import SecondStageHeader, SecondStageSetup
from centerdet.detector.weights_file import read_weights, write_weights
from centerdet.model.hypotheses import HypothesesConfig
from centerdet.model.second_stage import SecondStageConfig
from centerdet.synthetic.scenes import SyntheticScenes
from tests.second_stage_helpers import tiny_detector, trained_like

images = np.random.default_rng(0).random((3, 80, 96)).astype(np.float32)


def test_saved_and_loaded_it_answers_the_same(tmp_path) -> None:
    detector = tiny_detector(trained_like())
    detector.save(tmp_path / "both.safetensors")
    loaded = Detector.load(tmp_path / "both.safetensors")
    assert loaded.second_stage is not None
    assert loaded.second_stage.hypotheses == HypothesesConfig()
    assert loaded.detect_batch(images) == detector.detect_batch(images)


def test_it_changes_the_answers_and_not_the_candidates() -> None:
    without = tiny_detector()
    detector = tiny_detector(trained_like(), HypothesesConfig(min_peak=0.0))
    assert without.detect(images[0]) != detector.detect(images[0])
    for one, other in zip(without.candidates(images, 2), detector.candidates(images, 2), strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_image_without_peaks_has_a_box_and_a_low_score() -> None:
    """All logits are equal: the first cell is the peak, and the next peaks lie wherever the map is not removed."""
    detector = tiny_detector(trained_like(), HypothesesConfig(min_peak=0.0, sure=1.0))
    detector._inference.module.heads.weight.data.zero_()
    (detection,) = detector.detect_batch([np.zeros((64, 64))])
    assert detection is not None
    assert np.isfinite(detection.box.to_array()).all()
    assert detection.score < 0.1


def test_alone_and_in_a_batch_the_shipped_weights_place_alike() -> None:
    """Some of the objects are cut by the image's border, where samples of the patches leave the image."""
    scenes = SyntheticScenes(1_000_000)
    chosen = [scene for scene in (scenes[index] for index in range(30)) if scene[1] is not None]
    assert sum(bool((np.abs(box.corners() - 99.5) > 99.5).any()) for _, box in chosen) >= 4
    pixels = [image for image, _ in chosen]
    detector = load("fast", threshold=0.0)
    for alone, found in zip(pixels, detector.detect_batch(pixels), strict=True):
        one = detector(alone)
        assert one is not None
        assert found is not None
        np.testing.assert_allclose(one.box.corners(), found.box.corners(), atol=0.01)
        assert abs(one.score - found.score) < 2e-3


def test_scores_that_are_not_finite_are_an_error() -> None:
    stage = trained_like()
    stage.even.bias.data[5:] = math.nan
    with pytest.raises(ValueError, match="image 0: the network's output is not finite"):
        tiny_detector(stage).detect_batch(images)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensor: torch.full_like(tensor, math.nan), "the second stage's odd.weight holds NaN"),
        (lambda tensor: tensor.double(), "the second stage's odd.weight is torch.float64, must be torch.float32"),
        (lambda tensor: tensor[:1], "the weights are not those of the second stage in its settings"),
    ],
)
def test_damaged_tensors_are_refused(change, message, tmp_path) -> None:
    tiny_detector(trained_like()).save(tmp_path / "good.safetensors")
    tensors, header = read_weights(tmp_path / "good.safetensors")
    tensors["second_stage.odd.weight"] = change(tensors["second_stage.odd.weight"])
    write_weights(tmp_path / "damaged.safetensors", tensors, header)
    with pytest.raises(ValueError, match=message):
        Detector.load(tmp_path / "damaged.safetensors")


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("hypotheses", {"score_level": 4}, "score_level must be an index of the 4 quality_levels, got 4"),
        ("hypotheses", {"passes": 10**9}, "passes must lie in 1..32"),
        ("hypotheses", {"beam": [3]}, "beam"),
        ("network", {"margin": 1e9}, "margin must be above 0 and at most 100"),
        ("network", {"depths": [1, 10**9, 1]}, "depths must lie in 0..64"),
        ("network", {"rows": 10**6}, "rows and columns must be multiples of 8, at most 1024"),
    ],
)
def test_stored_settings_out_of_range_are_refused(part, change, message, tmp_path) -> None:
    tiny_detector(trained_like()).save(tmp_path / "good.safetensors")
    tensors, header = read_weights(tmp_path / "good.safetensors")
    header["second_stage"][part] |= change
    write_weights(tmp_path / "changed.safetensors", tensors, header)
    with pytest.raises(ValueError, match=message):
        Detector.load(tmp_path / "changed.safetensors")


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": 1032},
        {"columns": 4},
        {"margin": 0.0},
        {"margin": math.nan},
        {"size_unit": 1e5},
        {"channels": (4, 4, 3)},
        {"channels": (4, 4, 4098)},
        {"hidden": (4, 4, 4)},
        {"depths": (1, -1, 1)},
        {"depths": (1, 1)},
        {"quality_levels": ()},
        {"quality_levels": (0.5,) * 65},
        {"quality_levels": (1.0,)},
    ],
)
def test_a_network_setting_out_of_range_is_refused(changes) -> None:
    with pytest.raises(ValueError, match="got"):
        SecondStageConfig(**changes)


@pytest.mark.parametrize("count", [0, 17])
def test_too_many_channels_are_refused(count) -> None:
    header = SecondStageSetup(network=trained_like()).header()
    assert asdict(header)["in_channels"] == 3
    with pytest.raises(ValueError, match="in_channels must lie in"):
        SecondStageHeader(
            in_channels=count,
            network=header.network,
            hypotheses=header.hypotheses,
            peak_calibration=header.peak_calibration,
        )


@pytest.mark.slow
def test_exported_it_answers_the_same(tmp_path) -> None:
    from centerdet.export import OnnxDetector, export_onnx

    stage = trained_like()
    for head in (stage.odd, stage.even):
        head.weight.data *= 0.1  # small moves, as a trained stage makes them where a box fits
    fast = load("fast")
    hypotheses = replace(HypothesesConfig(), min_peak=0.0)
    setup = SecondStageSetup(network=stage, hypotheses=hypotheses)
    detector = Detector(fast.network, fast.codec, threshold=0.0, second_stage=setup)
    export_onnx(detector, tmp_path / "model.onnx")
    exported = OnnxDetector(tmp_path / "model.onnx", threads=1)
    for wanted, got in zip(detector.detect_batch(images), exported.detect_batch(images), strict=True):
        np.testing.assert_allclose(got.box.corners(), wanted.box.corners(), atol=1e-3)
