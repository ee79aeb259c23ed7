import numpy as np
import pytest
import torch

from centerdet.detector.calibration import Calibration, calibration_error, fit_calibration, reliability


def test_the_default_changes_nothing():
    peaks = torch.tensor([0.01, 0.3, 0.5, 0.99])
    torch.testing.assert_close(Calibration()(peaks), peaks)


def test_it_is_the_stated_formula_and_stays_in_range():
    peak = torch.tensor([0.2, 0.9])
    margin = 0.7 * peak.log() - 1.8 * (1 - peak).log() + 0.4
    torch.testing.assert_close(Calibration(a=0.7, b=1.8, c=0.4)(peak), 1 / (1 + (-margin).exp()))
    ends = Calibration(a=2.0, b=3.0, c=1.0)(torch.tensor([0.0, 1.0]))
    assert ends[0] >= 0
    assert ends[1] <= 1


@pytest.mark.parametrize("values", [{"a": -0.1}, {"b": -1.0}, {"c": float("nan")}, {"a": float("inf")}])
def test_falling_or_undefined_calibrations_are_refused(values):
    with pytest.raises(ValueError, match="a calibration needs finite numbers, a and b at least 0"):
        Calibration(**values)


def test_the_law_of_what_was_seen_is_found_again():
    rng = np.random.default_rng(0)
    law = Calibration(a=0.5, b=1.5, c=-0.3)
    peaks = rng.random(40_000)
    chance = law(torch.from_numpy(peaks)).numpy()
    right = rng.random(len(peaks)) < chance
    fitted = fit_calibration(peaks, right)
    assert (fitted.a, fitted.b, fitted.c) == pytest.approx((law.a, law.b, law.c), abs=0.08)
    scores = fitted(torch.from_numpy(peaks)).numpy()
    assert np.abs(scores - chance).max() < 0.02
    assert calibration_error(scores, right) < 0.01 < 0.05 < calibration_error(peaks, right)


def test_a_higher_peak_never_means_a_lower_score():
    rng = np.random.default_rng(1)
    peaks = rng.random(500)
    fitted = fit_calibration(peaks, rng.random(500) > peaks)  # the other way round
    assert min(fitted.a, fitted.b) >= 0
    assert (np.diff(fitted(torch.linspace(0, 1, 99)).numpy()) >= -1e-9).all()


@pytest.mark.parametrize("count", [2, 20, 500])
def test_samples_that_a_threshold_separates_have_a_calibration_too(count):
    peaks = np.linspace(0.01, 0.99, count)
    fitted = fit_calibration(peaks, peaks > 0.5)
    low, high = fitted(torch.tensor([0.01, 0.99])).tolist()
    assert low < 2 / count
    assert high > 1 - 2 / count
    assert max(fitted.a, fitted.b, abs(fitted.c)) < 200


@pytest.mark.parametrize("right", [[True, True], [False, False]])
def test_without_both_kinds_there_is_nothing_to_learn(right):
    with pytest.raises(ValueError, match=rf"needs right and wrong detections, got {sum(right)} right ones of 2"):
        fit_calibration([0.2, 0.7], right)


def test_reliability_counts_in_bins():
    count, mean, fraction = reliability([0.0, 0.02, 0.5, 1.0, 1.0], [False, True, False, True, False])
    assert count.tolist() == [2, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2]
    assert mean[[0, 7, 14]].tolist() == pytest.approx([0.01, 0.5, 1.0])
    assert fraction[[0, 7, 14]].tolist() == pytest.approx([0.5, 0.0, 0.5])
    error = calibration_error([0.0, 0.02, 0.5, 1.0, 1.0], [False, True, False, True, False])
    assert error == pytest.approx((2 * 0.49 + 0.5 + 2 * 0.5) / 5)


def test_no_detections_have_no_error():
    assert calibration_error([], []) == 0
