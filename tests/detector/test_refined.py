import math

import numpy as np
import pytest

from centerdet import Calibration, RefinementConfig, RotatedBox
from centerdet.detector.refined import RefinedDetector, confidence
from centerdet.refine.search import Fit
from tests.helpers import make_detector

BOX = RotatedBox(90, 80, 1, 20, 30)


class FixedRefiner:
    """Stands for a ``Refiner``: gives fixed fits, and records the guesses."""

    def __init__(self, *fits):
        self.fits = list(fits)

    def refine_batch(self, images, guesses, *, threads, noise_levels):
        self.guesses = guesses
        return self.fits


def make_images(count):
    return list(np.random.default_rng(0).random((count, 200, 200)).astype(np.float32))


def make_refined(detector, *fits, **settings):
    config = RefinementConfig(**{"threshold": 0.0, **settings})
    return RefinedDetector(detector, config, refiner=FixedRefiner(*fits))


def test_boxes_move_only_to_fits_that_gain():
    detector, images = make_detector(), make_images(3)
    detector.threshold = 0.0
    before = detector.detect_batch(images)
    fits = Fit(BOX, gain=60.0, unexplained=0), Fit(BOX, gain=-3.0, unexplained=9), None
    after = make_refined(detector, *fits).detect_batch(images)
    assert [detection.box for detection in after] == [BOX, before[1].box, before[2].box]
    scores = [
        confidence(fit, detection.score) for fit, detection in zip(fits, before, strict=True)
    ]  # of the detector's own
    assert [detection.score for detection in after] == pytest.approx(scores, abs=1e-5)


def test_settings_come_from_detector_and_refinement():
    detector = make_detector()
    detector.intensity_range = (0.0, 2.0)
    refined = make_refined(detector, threshold=0.3, calibration=Calibration(c=1.0))
    assert (refined.threshold, refined.calibration) == (0.3, Calibration(c=1.0))
    assert (refined.intensity_range, refined.has_heading) == ((0.0, 2.0), True)
    assert refined.metadata == detector.metadata


def test_the_calibration_maps_confidences_to_scores():
    (image,), fit = make_images(1), Fit(BOX, gain=30.0, unexplained=2)
    plain, raised = (
        make_refined(make_detector(), fit, calibration=Calibration(c=c)).detect(image).score for c in (0.0, 1.0)
    )
    assert math.log(raised / (1 - raised)) == pytest.approx(math.log(plain / (1 - plain)) + 1, abs=1e-4)


def test_the_refiner_gets_the_box_and_the_likely_peaks():
    detector, images = make_detector(), make_images(2)
    refined = make_refined(detector, None, None)
    refined.detect_batch(images)
    boxes, scores, peaks, peak_scores = detector.decode_with_candidates(np.stack(images), 3)
    for index, (first, *further) in enumerate(refined._refiner.guesses):
        np.testing.assert_array_equal(first.box.to_array(), boxes[index])
        assert first.chance == scores[index]
        wanted = peaks[index][peak_scores[index] >= 0.005]
        np.testing.assert_array_equal(np.reshape([guess.box.to_array() for guess in further], (-1, 5)), wanted)


def test_an_unlikely_first_guess_is_kept():
    detector = make_detector()
    detector.calibration = Calibration(c=-30.0)
    refined = make_refined(detector, None)
    refined.detect(make_images(1)[0])
    assert len(refined._refiner.guesses[0]) == 1


def test_the_heatmap_is_the_detectors():
    detector, (image,) = make_detector(), make_images(1)
    np.testing.assert_array_equal(make_refined(detector).heatmap(image), detector.heatmap(image))


def test_confidence_grows_with_the_evidence():
    base = confidence(Fit(BOX, gain=30.0, unexplained=5), 0.5)
    assert base == pytest.approx(1 / (1 + math.exp(-(0.161 * 30 - 3.05))))
    assert 0 < base < 1
    assert confidence(Fit(BOX, gain=39.0, unexplained=5), 0.5) > base
    assert confidence(Fit(BOX, gain=30.0, unexplained=4), 0.5) == base  # unexplained pixels do not count
    assert confidence(Fit(BOX, gain=30.0, unexplained=5), 0.6) > base
    assert confidence(Fit(BOX, gain=41.0, unexplained=5), 0.5) == confidence(Fit(BOX, gain=40.0, unexplained=5), 0.5)
    assert confidence(None, 0.99) == 0
    for score in (0.0, 1.0):
        assert 0 < confidence(Fit(BOX, gain=30.0, unexplained=5), score) < 1
