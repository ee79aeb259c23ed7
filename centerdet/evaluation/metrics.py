"""The official score of one sample, the evaluation of a detector over many, and what a detector learns from one."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from centerdet.box import Detection, RotatedBox, paired_iou
from centerdet.detector.calibration import Calibration, fit_calibration
from centerdet.evaluation.report import CORRECT_IOU, EvaluationReport, EvaluationResults, choose_threshold, summarise

_NO_BOX = np.full(5, np.nan)

Label = RotatedBox | None | ArrayLike
LabelledImages = Sequence[tuple[NDArray, RotatedBox | None]]


class Tunable(Protocol):
    """A detector with a threshold and a calibration of its own, as ``Detector`` is."""

    threshold: float
    calibration: Calibration

    def detect_batch(self, images: Sequence[NDArray]) -> Sequence[Detection | None]:
        """Answers each image."""
        ...


def score_iou(pred: Label, true: Label) -> float | None:
    """The official score of one sample.

    Args:
        pred: ``(x, y, yaw, width, height)`` or five NaN for "no box"; a ``RotatedBox`` or ``None`` will do as well.
        true: The same.

    Returns:
        ``None`` if neither has a box, 0 for a false alarm and for a miss, else the IoU of the two rectangles.

    Raises:
        ValueError: If a box is not five numbers, all of them or none of them NaN.
    """
    predicted, there = _as_array(pred), _as_array(true)
    if np.isnan(predicted).all() and np.isnan(there).all():
        return None
    if np.isnan(predicted).all() or np.isnan(there).all():
        return 0.0
    return float(paired_iou(predicted[None], there[None])[0])


def evaluate(
    detector: Callable[[NDArray], Any],
    scenes: Iterable[tuple[NDArray, Label]],
    *,
    batch_size: int = 32,
    count: int | None = None,
    progress: bool = False,
) -> EvaluationReport:
    """Scores a detector on labelled images.

    Args:
        detector: Anything that takes an image and returns a ``Detection``, a ``RotatedBox``, five numbers, or ``None``
            (or five NaN) for "nothing found"; a box without a score counts as one of score 1. Its method
            ``detect_batch`` (images -> list), if any, is used instead.
        scenes: Pairs of image and ``RotatedBox``, five numbers, or ``None`` (or five NaN) for "no object".
        batch_size: Images given to ``detect_batch`` at once.
        count: How many of the scenes to take; needed where they never end. ``None``: all.
        progress: Whether to show a progress bar (on a terminal only).

    Raises:
        ValueError: If there is no scene at all, or an answer or a label is not as above.
    """
    return summarise(predict_all(detector, scenes, batch_size=batch_size, count=count, progress=progress))


def predict_all(
    detector: Callable[[NDArray], Any],
    scenes: Iterable[tuple[NDArray, Label]],
    *,
    batch_size: int = 32,
    count: int | None = None,
    progress: bool = False,
) -> EvaluationResults:
    """Runs a detector over labelled images; arguments as in ``evaluate``."""
    detect: Callable[[Sequence[NDArray]], Sequence[Any]]
    detect = getattr(detector, "detect_batch", None) or (lambda images: [detector(image) for image in images])
    scores, predicted, target, seconds, has_heading = [], [], [], 0.0, True
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    total = count if count is not None or not hasattr(scenes, "__len__") else len(scenes)
    iterator = islice(scenes, count)
    with tqdm(total=total, unit="image", disable=None if progress else True, leave=False) as bar:
        while chunk := list(islice(iterator, batch_size)):
            start = time.perf_counter()
            answers = detect([image for image, _ in chunk])
            seconds += time.perf_counter() - start
            if len(answers) != len(chunk):
                raise ValueError(f"detect_batch must answer each of {len(chunk)} images, got {len(answers)} answers")
            for answer, (_, label) in zip(answers, chunk, strict=True):
                score, box = (answer.score, answer.box) if isinstance(answer, Detection) else (1.0, answer)
                has_heading &= answer.has_heading if isinstance(answer, Detection) else True
                if not 0 <= score <= 1:
                    raise ValueError(f"a detection's score must lie in [0, 1], got {score}; make it a probability")
                predicted.append(_as_array(box))
                scores.append(np.nan if np.isnan(predicted[-1]).any() else score)
                target.append(_as_array(label))
            bar.update(len(chunk))
    if not target:
        raise ValueError("evaluation needs at least one scene, got none")
    return _outcomes(np.array(scores, dtype=np.float64), np.array(predicted), np.array(target), seconds, has_heading)


def predict_all_unthresholded(
    detector: Tunable, scenes: Iterable[tuple[NDArray, Label]], *, count: int | None = None, progress: bool = False
) -> EvaluationResults:
    """As ``predict_all``, with the likeliest box of every image, however low its score; the threshold is not changed."""
    before = detector.threshold
    detector.threshold = 0.0
    try:
        return predict_all(detector, scenes, count=count, progress=progress)
    finally:
        detector.threshold = before


def calibrate(
    detector: Tunable, scenes: Iterable[tuple[NDArray, Label]], *, count: int | None = None, progress: bool = False
) -> EvaluationReport:
    """Makes a detector's score the probability of being right, and its threshold the one with the best official score.

    Args:
        detector: Its ``calibration`` and ``threshold`` are replaced.
        scenes: Labelled images that it was neither trained on nor will be reported on.
        count: As in ``evaluate``.
        progress: As in ``evaluate``.

    Returns:
        Its report on these scenes afterwards. It flatters a little: they are what threshold and calibration were
        chosen on.

    Raises:
        ValueError: If there is no scene at all; the detector is then as before.

    Warns:
        UserWarning: If all detections are right, or all wrong: the scores then stay as the network gave them.
    """
    before = detector.calibration
    detector.calibration = Calibration()
    try:
        results = predict_all_unthresholded(detector, scenes, count=count, progress=progress)
    except BaseException:
        detector.calibration = before
        raise
    predicted, right = ~np.isnan(results.scores), results.iou > CORRECT_IOU
    if (
        right[predicted].all() or not right[predicted].any()
    ):  # nothing can be learned from them, as from an untrained network
        warnings.warn(_uncalibrated(int(predicted.sum()), int(right[predicted].sum())), stacklevel=2)
    else:
        detector.calibration = fit_calibration(results.scores[predicted], right[predicted])
        scores = detector.calibration(torch.from_numpy(results.scores).float())  # as the detector does, NaN stays NaN
        results = results._replace(scores=scores.double().numpy())
    detector.threshold = choose_threshold(results)
    return summarise(results.above(detector.threshold))


def _uncalibrated(predicted: int, right: int) -> str:
    return (
        f"scores stay uncalibrated: that takes right and wrong detections, got {right} right ones of {predicted}; "
        "give more scenes, or train longer"
    )


def _as_array(box: Label) -> NDArray[np.float64]:
    """Any way to write a box, as ``(5,)``, NaN for "no box"."""
    if box is None:
        return _NO_BOX
    try:
        values = box.to_array() if isinstance(box, RotatedBox) else np.asarray(box, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.zeros(0)
    missing = np.isnan(values)
    if values.shape != (5,) or missing.any() != missing.all() or np.isinf(values).any():
        raise ValueError(f"a box is five finite numbers (x, y, yaw, width, height) or five NaN, got {box!r}")
    return values


def _outcomes(
    scores: NDArray, predicted: NDArray, target: NDArray, seconds: float, has_heading: bool
) -> EvaluationResults:
    both = ~np.isnan(predicted[:, 0]) & ~np.isnan(target[:, 0])
    iou = np.zeros(len(target))
    iou[both] = paired_iou(predicted[both], target[both])
    return EvaluationResults(
        scores=scores, predicted=predicted, target=target, iou=iou, seconds=seconds, has_heading=has_heading
    )
