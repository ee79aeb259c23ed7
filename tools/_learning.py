"""Training runs on parts of a data set, each scored on its test split, and their means over seeds."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import centerdet
from centerdet.data.dataset import load_dataset
from centerdet.evaluation.metrics import predict_all
from centerdet.evaluation.report import IOU_THRESHOLDS, Z_95, EvaluationResults, summarise
from centerdet.training.checkpoint import CHECKPOINT_NAME
from centerdet.training.dataset_run import prepare_dataset_run, train_dataset
from tools._subset import write_subset


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a training run depends on.

    Attributes:
        data: YAML file of the data set.
        labels: Number of training images.
        init: Weights to start from, a name or a file, "auto" or "none": as of ``prepare_dataset_run``.
        seed: Seed of the choice of images, of new weights and of the batches.
        minutes: Time limit as of ``TrainingConfig.max_minutes``; ``None``: none.
        settings: Changes as of ``centerdet train --set``.
    """

    data: str
    labels: int
    init: str
    seed: int
    minutes: float | None
    settings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """A folder's name for it, unlike that of any other run."""
        digest = hashlib.sha256(repr(self).encode()).hexdigest()[:8]
        return f"{Path(self.init).stem}-{self.labels}-{self.seed}-{digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a run reached on the test split; the errors are standard errors over its images.

    Attributes:
        ap: AP@0.7 (task definition).
        ap_error: Its standard error.
        ap_mean: AP@[0.50:0.95].
        ap_mean_error: Its standard error.
        misses: Number of images with an object and no box.
        false_alarms: Number of images with a box and no object.
        cpu_minutes: CPU time of training, all threads together; of the last part of a run that was interrupted.
    """

    ap: float
    ap_error: float
    ap_mean: float
    ap_mean_error: float
    misses: int
    false_alarms: int
    cpu_minutes: float


def run_once(run: Run, folder: Path, *, device: torch.device) -> Score:
    """Trains, or continues an interrupted run, and scores the result.

    Args:
        run: What to do.
        folder: For the chosen images and the run; may hold an interrupted run.
        device: Where to train.

    Raises:
        ValueError: If the data set has fewer images or no test split.
    """
    data = write_subset(run.data, folder / "data", labels=run.labels, seed=run.seed)
    limits = [] if run.minutes is None else [f"training.max_minutes={run.minutes}"]
    overrides = [f"training.seed={run.seed}", *limits, *run.settings]
    start, result = time.process_time(), folder / "run"
    train_dataset(
        prepare_dataset_run(data, overrides=overrides, init=run.init),
        directory=result,
        device=device,
        resume=(result / CHECKPOINT_NAME).exists(),
    )
    minutes = (time.process_time() - start) / 60
    detector = centerdet.load(result / "best.safetensors", device=device)
    test = load_dataset(run.data, "test")
    return score(predict_all(detector, test, progress=True), cpu_minutes=minutes)


def score(results: EvaluationResults, *, cpu_minutes: float) -> Score:
    """Sums up the results on a test split, above the detector's threshold."""
    report, iou = summarise(results), results.iou[results.scored]
    ap_mean, ap_mean_error = _mean_and_error(np.mean([iou > threshold for threshold in IOU_THRESHOLDS], axis=0))
    return Score(
        ap=report.ap,
        ap_error=_mean_and_error(results.correct[results.scored])[1],
        ap_mean=ap_mean,
        ap_mean_error=ap_mean_error,
        misses=report.misses,
        false_alarms=report.false_alarms,
        cpu_minutes=cpu_minutes,
    )


def _mean_and_error(values: NDArray) -> tuple[float, float]:
    """Returns the mean and its standard error; zeros for no values."""
    return (float(values.mean()), float(values.std() / math.sqrt(len(values)))) if len(values) else (0.0, 0.0)


def average(values: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Averages a value over seeds, all measured on the same images.

    Args:
        values: Value and standard error over the images, for each seed.

    Returns:
        The mean, and half of its 95 % interval: the images' errors, which seeds do not average out, and the spread of
        the seeds. For one seed, only the former.
    """
    means, errors = np.array(values).T
    spread = means.var(ddof=1) / len(means) if len(means) > 1 else 0.0
    return float(means.mean()), Z_95 * math.sqrt((errors**2).mean() + spread)


def to_record(run: Run, score: Score) -> dict:
    """Returns the run and its score as one line of a results file holds them."""
    return {"run": asdict(run), "score": asdict(score)}


def from_records(records: Iterable[dict]) -> dict[Run, Score]:
    """Reads the lines of a results file.

    Raises:
        ValueError: If a line is another one.
    """
    try:
        return {
            Run(**{**record["run"], "settings": tuple(record["run"]["settings"])}): Score(**record["score"])
            for record in records
        }
    except (KeyError, TypeError) as error:
        raise ValueError(f"a line is no result of a run: {error}") from None
