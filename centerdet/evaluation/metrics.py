"""Score of one sample, and evaluation of a detector over many samples."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager, nullcontext
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from centerdet.box import RotatedBox, paired_iou
from centerdet.detector.refined import RefinedDetector
from centerdet.evaluation.answers import Answer, Label, as_array, normalise
from centerdet.evaluation.report import EvaluationReport, EvaluationResults, summarise

BATCH_SIZE = 32  # images in one call of a detector
LabelledImages = Sequence[tuple[NDArray, RotatedBox | None]]


def score_iou(pred: Label, true: Label) -> float | None:
    """Score of one sample by the task's definition.

    Args:
        pred: Predicted ``(x, y, yaw, width, height)``, px and rad, or five NaN for "no box"; a ``RotatedBox`` or
            ``None`` is fine as well.
        true: True box, in the same forms.

    Returns:
        ``None`` if there is no box at all, 0 for a false alarm or a miss, else the IoU of the two rectangles.

    Raises:
        ValueError: If a box is not five finite numbers or five NaN.
    """
    predicted, target = as_array(pred), as_array(true)
    missing = np.isnan(predicted).all(), np.isnan(target).all()
    if any(missing):
        return None if all(missing) else 0.0
    return float(paired_iou(predicted[None], target[None])[0])


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
        detector: Takes an image and returns a ``Detection``, a ``RotatedBox``, five numbers, or ``None`` (or five NaN)
            for "nothing found". A box without a score gets score 1. If the detector has a method ``detect_batch``
            (images -> list), that is called instead.
        scenes: Pairs of image and label: a ``RotatedBox``, five numbers, or ``None`` (or five NaN) for "no object".
        batch_size: Images in one call of ``detect_batch``.
        count: Number of scenes to take, needed if they never end; ``None``: all.
        progress: Whether to show a progress bar (on a terminal only).

    Raises:
        ValueError: If there is no scene, or an answer or a label has another form.
    """
    return summarise(predict_all(detector, scenes, batch_size=batch_size, count=count, progress=progress))


def predict_all(
    detector: Callable[[NDArray], Any],
    scenes: Iterable[tuple[NDArray, Label]],
    *,
    batch_size: int = 32,
    count: int | None = None,
    progress: bool = False,
    ignore_threshold: bool = False,
) -> EvaluationResults:
    """Runs a detector on labelled images; arguments and errors as in ``evaluate``.

    With ``ignore_threshold`` the results hold the most likely box of every image, however low its score: the detector's
    ``threshold`` is 0 meanwhile.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    bar = _progress_bar(scenes, count, progress)
    with _zero_threshold(detector) if ignore_threshold else nullcontext():
        (answers,), targets, seconds = _run(
            lambda images: [_detect(detector, images)], islice(scenes, count), batch_size, bar
        )
    return _compare(answers, targets, seconds)


def predict_stages(
    detector: RefinedDetector,
    scenes: Iterable[tuple[NDArray, Label]],
    *,
    count: int | None = None,
    progress: bool = False,
) -> tuple[EvaluationResults, EvaluationResults]:
    """Runs a refined detector on labelled images: the results before and after refinement, from one pass.

    The results hold the most likely box of every image, however low its score.

    Args:
        detector: The result of ``Detector.with_refinement``.
        scenes: As in ``evaluate``.
        count: As in ``evaluate``.
        progress: As in ``evaluate``.
    """
    refinement_seconds = 0.0

    def detect(images: list[NDArray]) -> tuple[Sequence[Any], Sequence[Any]]:
        nonlocal refinement_seconds
        stages = detector.detect_stages(images)
        refinement_seconds += stages.refinement_seconds
        return stages.unrefined, stages.refined

    bar = _progress_bar(scenes, count, progress)
    with _zero_threshold(detector), _zero_threshold(detector.unrefined):
        (before, after), targets, seconds = _run(detect, islice(scenes, count), BATCH_SIZE, bar)
    return _compare(before, targets, seconds - refinement_seconds), _compare(after, targets, seconds)


def _run(
    detect: Callable[[list[NDArray]], Sequence[Sequence[Any]]],
    scenes: Iterator[tuple[NDArray, Label]],
    batch_size: int,
    bar: tqdm,
) -> tuple[list[list[Answer]], NDArray[np.float64], float]:
    """Returns the answers of each stage that ``detect`` gives, the targets ``(N, 5)``, and the seconds it took."""
    stages: list[list[Answer]] = []
    targets, seconds = [], 0.0
    with bar:
        while chunk := list(islice(scenes, batch_size)):
            start = time.perf_counter()
            found = detect([image for image, _ in chunk])
            seconds += time.perf_counter() - start
            stages = stages or [[] for _ in found]
            for answers, stage in zip(stages, found, strict=True):
                answers += [normalise(answer) for answer in stage]
            targets += [as_array(label) for _, label in chunk]
            bar.update(len(chunk))
    if not targets:
        raise ValueError("evaluation needs at least one scene, got none")
    return stages, np.array(targets), seconds


def _progress_bar(scenes: Iterable[Any], count: int | None, progress: bool) -> tqdm:
    total = len(scenes) if count is None and isinstance(scenes, Sized) else count
    return tqdm(total=total, unit="image", disable=None if progress else True, leave=False)


@contextmanager
def _zero_threshold(detector: Any) -> Iterator[None]:
    before = detector.threshold
    detector.threshold = 0.0
    try:
        yield
    finally:
        detector.threshold = before


def _detect(detector: Callable[[NDArray], Any], images: list[NDArray]) -> Sequence[Any]:
    detect_batch: Callable[[list[NDArray]], Sequence[Any]] | None = getattr(detector, "detect_batch", None)
    answers = [detector(image) for image in images] if detect_batch is None else detect_batch(images)
    if len(answers) != len(images):
        raise ValueError(f"detect_batch must answer each of {len(images)} images, got {len(answers)} answers")
    return answers


def _compare(answers: list[Answer], targets: NDArray[np.float64], seconds: float) -> EvaluationResults:
    boxes, scores, has_heading = zip(*answers, strict=True)
    results = EvaluationResults(
        scores=np.array(scores, dtype=np.float64),
        predicted=np.array(boxes),
        target=targets,
        iou=np.zeros(len(targets)),
        seconds=seconds,
        has_heading=all(has_heading),
    )
    both = results.has_prediction & results.has_target
    results.iou[both] = paired_iou(results.predicted[both], results.target[both])
    return results
