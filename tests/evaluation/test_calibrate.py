import numpy as np
import pytest
import torch

from centerdet import Detection, RotatedBox
from centerdet.detector.calibration import Calibration
from centerdet.evaluation.calibrate import calibrate

BOX, SHIFTED_BOX = RotatedBox(50, 60, 0.4, 20, 30), RotatedBox(65, 60, 0.4, 20, 30)  # their IoU is below 0.7
IMAGE = np.zeros((64, 64))


class OverconfidentDetector:
    """Finds the same box everywhere; its scores are twice the probability that the box is correct."""

    def __init__(self, peaks):
        self.threshold, self.calibration, self.peaks = 0.4, Calibration(a=3.0), iter(peaks)

    def detect_batch(self, images):
        peaks = self.calibration(torch.tensor([next(self.peaks) for _ in images]))
        return [Detection(BOX, peak) if peak >= self.threshold else None for peak in peaks.tolist()]


def test_calibration_turns_scores_into_probabilities():
    rng = np.random.default_rng(2)
    peaks = rng.beta(5, 2, 4000)
    targets = [BOX if chance < peak / 2 else SHIFTED_BOX for chance, peak in zip(rng.random(4000), peaks, strict=True)]
    detector = OverconfidentDetector(peaks)
    report = calibrate(detector, [(IMAGE, target) for target in targets])
    assert report.samples == 4000
    assert detector.calibration(torch.tensor([0.5, 0.8])).tolist() == pytest.approx([0.25, 0.4], abs=0.03)
    assert report.calibration_error < 0.02
    assert 0 < detector.threshold <= 0.98


@pytest.mark.parametrize(("targets", "ap"), [([SHIFTED_BOX, None], 0), ([BOX, BOX], 1)])
def test_scores_stay_uncalibrated_with_a_warning_if_all_or_no_boxes_are_correct(targets, ap):
    detector = OverconfidentDetector([0.3, 0.6])
    with pytest.warns(UserWarning, match=f"scores stay uncalibrated.* got {2 * ap} correct ones of 2; give more"):
        assert calibrate(detector, [(IMAGE, target) for target in targets]).ap == ap
    assert detector.calibration == Calibration()


def test_a_failed_calibration_leaves_the_detector_unchanged():
    detector = OverconfidentDetector([])
    with pytest.raises(ValueError, match="at least one scene"):
        calibrate(detector, [])
    assert (detector.threshold, detector.calibration) == (0.4, Calibration(a=3.0))


def test_images_without_a_detection_do_not_affect_calibration():
    class MissingDetector(OverconfidentDetector):
        def detect_batch(self, images):
            return [None if index % 3 == 0 else answer for index, answer in enumerate(super().detect_batch(images))]

    rng = np.random.default_rng(3)
    peaks = rng.beta(5, 2, 3000)
    detector = MissingDetector(peaks)
    targets = [BOX if chance < peak / 2 else SHIFTED_BOX for chance, peak in zip(rng.random(3000), peaks, strict=True)]
    report = calibrate(detector, [(IMAGE, target) for target in targets])
    assert detector.calibration(torch.tensor(0.8)).item() == pytest.approx(0.4, abs=0.05)
    assert report.misses >= 1000
