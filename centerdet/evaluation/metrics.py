"""Score of one sample, and evaluation of a detector over many samples."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager, nullcontext
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from centerdet.box import RotatedBox, paired_iou
from centerdet.detector.base import BaseDetector
from centerdet.detector.refined import RefinedDetector
from centerdet.evaluation.answers import Answer, Label, as_array, normalise
from centerdet.evaluation.report import EvaluationReport, EvaluationResults, summarise
from centerdet.parallel import parallel_map

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

    def detect(images: list[NDArray]) -> list[_Stage]:
        start = time.perf_counter()
        answers = _detect(detector, images)
        return [_Stage(answers, time.perf_counter() - start)]

    bar = _progress_bar(scenes, count, progress)
    with _zero_threshold(detector) if ignore_threshold else nullcontext():
        (results,) = _run(detect, islice(scenes, count), batch_size, bar, threads=_thread_safe(detector))
    return results


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

    def detect(images: list[NDArray]) -> list[_Stage]:
        start = time.perf_counter()
        found = detector.detect_stages(images)
        seconds = time.perf_counter() - start
        return [_Stage(found.unrefined, seconds - found.refinement_seconds), _Stage(found.refined, seconds)]

    bar = _progress_bar(scenes, count, progress)
    with _zero_threshold(detector), _zero_threshold(detector.unrefined):
        before, after = _run(detect, islice(scenes, count), BATCH_SIZE, bar, threads=_thread_safe(detector))
    return before, after


class _Stage(NamedTuple):
    """The answers of a stage of a detector to a batch, and the seconds that they took, earlier stages included."""

    answers: Sequence[Any]
    seconds: float


def _thread_safe(detector: Any) -> bool:
    return isinstance(detector, BaseDetector) and detector.thread_safe


def _run(
    detect: Callable[[list[NDArray]], list[_Stage]],
    scenes: Iterator[tuple[NDArray, Label]],
    batch_size: int,
    bar: tqdm,
    *,
    threads: bool,
) -> list[EvaluationResults]:
    """Returns the results of each stage that ``detect`` gives.

    With ``threads``, several batches are detected at once, and a batch is drawn by the thread that detects it. Seconds
    are then those of all threads, divided by their number.
    """

    def run_batch(batch: list[tuple[NDArray, Label]]) -> tuple[list[_Stage], list[NDArray[np.float64]]]:
        stages = detect([image for image, _ in batch])
        stages = [_Stage([normalise(answer) for answer in answers], seconds) for answers, seconds in stages]
        targets = [as_array(label) for _, label in batch]
        bar.update(len(batch))
        return stages, targets

    batches = iter(lambda: list(islice(scenes, batch_size)), [])
    with bar:
        done = parallel_map(run_batch, batches) if threads else [run_batch(batch) for batch in batches]
    if not done:
        raise ValueError("evaluation needs at least one scene, got none")
    workers = min(torch.get_num_threads(), len(done)) if threads else 1
    targets = np.array([target for _, part in done for target in part])
    return [
        _compare(
            [answer for stage in stages for answer in stage.answers],
            targets,
            sum(stage.seconds for stage in stages) / workers,
        )
        for stages in zip(*(stages for stages, _ in done), strict=True)
    ]


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
