import numpy as np
import pytest
import torch

from centerdet.detector.calibration import Calibration, calibration_error, fit_calibration, reliability


def test_the_default_leaves_peaks_unchanged():
    peaks = torch.tensor([0.01, 0.3, 0.5, 0.99])
    torch.testing.assert_close(Calibration()(peaks), peaks)


def test_scores_follow_the_documented_formula_and_stay_in_range():
    peak = torch.tensor([0.2, 0.9])
    margin = 0.7 * peak.log() - 1.8 * (1 - peak).log() + 0.4
    torch.testing.assert_close(Calibration(a=0.7, b=1.8, c=0.4)(peak), 1 / (1 + (-margin).exp()))
    ends = Calibration(a=2.0, b=3.0, c=1.0)(torch.tensor([0.0, 1.0]))
    assert ends[0] >= 0
    assert ends[1] <= 1


@pytest.mark.parametrize("values", [{"a": -0.1}, {"b": -1.0}, {"c": float("nan")}, {"a": float("inf")}])
def test_decreasing_or_undefined_calibrations_are_refused(values):
    with pytest.raises(ValueError, match="a calibration needs numbers of at most 1e.09, a and b at least 0"):
        Calibration(**values)


def test_fitting_recovers_the_true_calibration():
    rng = np.random.default_rng(0)
    true = Calibration(a=0.5, b=1.5, c=-0.3)
    peaks = rng.random(40_000)
    probability = true(torch.from_numpy(peaks)).numpy()
    correct = rng.random(len(peaks)) < probability
    fitted = fit_calibration(peaks, correct)
    assert (fitted.a, fitted.b, fitted.c) == pytest.approx((true.a, true.b, true.c), abs=0.08)
    scores = fitted(torch.from_numpy(peaks)).numpy()
    assert np.abs(scores - probability).max() < 0.02
    assert calibration_error(scores, correct) < 0.01 < 0.05 < calibration_error(peaks, correct)


def test_a_higher_peak_never_gets_a_lower_score():
    rng = np.random.default_rng(1)
    peaks = rng.random(500)
    fitted = fit_calibration(peaks, rng.random(500) > peaks)  # high peaks are wrong
    assert min(fitted.a, fitted.b) >= 0
    assert (np.diff(fitted(torch.linspace(0, 1, 99)).numpy()) >= -1e-9).all()


@pytest.mark.parametrize("count", [2, 20, 500])
def test_separable_samples_get_a_finite_calibration(count):
    peaks = np.linspace(0.01, 0.99, count)
    fitted = fit_calibration(peaks, peaks > 0.5)
    low, high = fitted(torch.tensor([0.01, 0.99])).tolist()
    assert low < 2 / count
    assert high > 1 - 2 / count
    assert max(fitted.a, fitted.b, abs(fitted.c)) < 200


@pytest.mark.parametrize("correct", [[True, True], [False, False]])
def test_fitting_needs_correct_and_wrong_detections(correct):
    with pytest.raises(ValueError, match=rf"needs correct and wrong detections, got {sum(correct)} correct ones of 2"):
        fit_calibration([0.2, 0.7], correct)


def test_reliability_counts_in_bins():
    count, mean, fraction = reliability([0.0, 0.02, 0.5, 1.0, 1.0], [False, True, False, True, False])
    assert count.tolist() == [2, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2]
    assert mean[[0, 7, 14]].tolist() == pytest.approx([0.01, 0.5, 1.0])
    assert fraction[[0, 7, 14]].tolist() == pytest.approx([0.5, 0.0, 0.5])
    error = calibration_error([0.0, 0.02, 0.5, 1.0, 1.0], [False, True, False, True, False])
    assert error == pytest.approx((2 * 0.49 + 0.5 + 2 * 0.5) / 5)


def test_calibration_error_without_detections_is_zero():
    assert calibration_error([], []) == 0
