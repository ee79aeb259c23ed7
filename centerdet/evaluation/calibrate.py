"""Calibration of a detector: scores become probabilities, and the threshold the best one."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Protocol

import torch
from numpy.typing import NDArray

from centerdet.box import Detection
from centerdet.detector.calibration import Calibration, fit_calibration
from centerdet.evaluation.answers import Label
from centerdet.evaluation.metrics import predict_all
from centerdet.evaluation.report import EvaluationReport, EvaluationResults, summarise
from centerdet.evaluation.threshold import choose_threshold


class CalibratedDetector(Protocol):
    """Detector with a threshold and a calibration that can be replaced, as ``Detector`` is."""

    threshold: float
    calibration: Calibration

    def __call__(self, image: NDArray) -> Detection | None:
        """Finds the object in one image, or ``None``."""
        ...


def calibrate(
    detector: CalibratedDetector,
    scenes: Iterable[tuple[NDArray, Label]],
    *,
    count: int | None = None,
    progress: bool = False,
) -> EvaluationReport:
    """Makes scores the probability that the box is correct, and chooses the threshold with the highest AP@0.7.

    Args:
        detector: Its ``calibration`` and ``threshold`` are replaced.
        scenes: Labelled images that are neither used in training nor in a report.
        count: As in ``evaluate``.
        progress: As in ``evaluate``.

    Returns:
        The report on these scenes with the new settings. It is slightly optimistic, since they chose the settings.

    Raises:
        ValueError: If there is no scene; the detector is then unchanged.

    Warns:
        UserWarning: If all detections are correct, or none is: the scores then stay uncalibrated.
    """
    before = detector.calibration
    detector.calibration = Calibration()
    try:
        results = predict_all(detector, scenes, count=count, progress=progress, ignore_threshold=True)
    except BaseException:
        detector.calibration = before
        raise
    results = _fit_scores(detector, results)
    detector.threshold = choose_threshold(results)
    return summarise(results.above(detector.threshold))


def _fit_scores(detector: CalibratedDetector, results: EvaluationResults) -> EvaluationResults:
    """Fits the detector's calibration to results without one; returns the results with calibrated scores."""
    found = results.has_prediction
    correct = results.correct[found]
    if correct.all() or not correct.any():  # nothing to learn from, as with an untrained network
        warnings.warn(
            f"scores stay uncalibrated: that takes correct and wrong detections, got {int(correct.sum())} correct ones "
            f"of {len(correct)}; give more scenes, or train longer",
            stacklevel=3,
        )
        return results
    detector.calibration = fit_calibration(results.scores[found], correct)
    scores = detector.calibration(torch.from_numpy(results.scores).float())  # as in the detector; NaN stays NaN
    return results._replace(scores=scores.double().numpy())
