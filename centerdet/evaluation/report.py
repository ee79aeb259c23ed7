"""What is worth knowing about a detector's answers: the official score with its interval, and what the score hides.

AP@t is the task's own: the mean of ``score_iou > t`` over the samples in which a box is predicted or true.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from centerdet.box import yaw_error
from centerdet.detector.calibration import calibration_error

IOU_THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
CORRECT_IOU = 0.7  # a detection is right above this IoU


class EvaluationResults(NamedTuple):
    """What a detector said about N samples, and the truth.

    Attributes:
        scores: ``(N,)`` confidence, NaN where nothing was found.
        predicted: ``(N, 5)`` boxes, NaN where nothing was found.
        target: ``(N, 5)`` boxes, NaN where there is nothing.
        iou: ``(N,)`` IoU of the two, 0 where one is missing.
        seconds: Time that the detector took.
        has_heading: Whether yaws tell nose from tail; if not, half a turn makes no difference.
    """

    scores: NDArray[np.float64]
    predicted: NDArray[np.float64]
    target: NDArray[np.float64]
    iou: NDArray[np.float64]
    seconds: float
    has_heading: bool = True

    def above(self, threshold: float) -> EvaluationResults:
        """The same, with detections that score below ``threshold`` taken back."""
        keep = self.scores >= threshold
        predicted = np.where(keep[:, None], self.predicted, np.nan)
        return self._replace(
            scores=np.where(keep, self.scores, np.nan), predicted=predicted, iou=np.where(keep, self.iou, 0.0)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationReport:
    """A detector's record over many samples.

    Attributes:
        samples: Samples seen.
        scored: Samples with a predicted or a true box: what the score is a mean over.
        ap: The official score, AP at IoU > 0.7.
        ap_low: Lower end of its 95 % interval (Wilson).
        ap_high: Upper end.
        ap_mean: Mean of AP over IoU 0.50:0.05:0.95.
        ap_by_iou: AP at each of these.
        mean_iou: Mean IoU of the pairs that have both boxes.
        false_alarms: Samples with a predicted box alone.
        misses: Samples with a true box alone.
        presence_accuracy: Fraction of the samples in which "there is an object" is said rightly.
        heading_accuracy: Fraction of the pairs with both boxes whose headings differ by at most 30 degrees.
        heading_accuracy_of_correct: Fraction of the pairs with IoU > 0.7 whose headings differ by at most 15 degrees.
        calibration_error: Expected distance of a detection's score from its chance of IoU > 0.7.
        images_per_second: Speed of the detector, decoding included.
        has_heading: Whether yaws tell nose from tail; if not, the accuracies above are those of axes.
    """

    samples: int
    scored: int
    ap: float
    ap_low: float
    ap_high: float
    ap_mean: float
    ap_by_iou: dict[str, float]
    mean_iou: float
    false_alarms: int
    misses: int
    presence_accuracy: float
    heading_accuracy: float
    heading_accuracy_of_correct: float
    calibration_error: float
    images_per_second: float
    has_heading: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Returns plain numbers, fit for JSON."""
        return asdict(self)

    def rows(self) -> list[tuple[str, str]]:
        """Names and values for people to read."""
        return [
            ("AP@0.7", f"{self.ap:.4f}  (95 % interval {self.ap_low:.4f} to {self.ap_high:.4f})"),
            ("AP@[0.50:0.95]", f"{self.ap_mean:.4f}"),
            ("mean IoU", f"{self.mean_iou:.4f}"),
            (f"{'heading' if self.has_heading else 'axis'} within 30 deg", f"{self.heading_accuracy:.4f}"),
            ("within 15, IoU > 0.7", f"{self.heading_accuracy_of_correct:.4f}"),
            ("calibration error", f"{self.calibration_error:.4f}"),
            ("false alarms", f"{self.false_alarms}"),
            ("misses", f"{self.misses}"),
            ("presence right", f"{self.presence_accuracy:.4f}"),
            ("samples, scored", f"{self.samples}, {self.scored}"),
            ("images per second", f"{self.images_per_second:.0f}"),
        ]

    def __str__(self) -> str:
        return "\n".join(f"{name:<22}{value}" for name, value in self.rows())


def summarise(results: EvaluationResults) -> EvaluationReport:
    """Counts what the report says; rates over nothing are 0."""
    predicted, there = (~np.isnan(boxes[:, 0]) for boxes in (results.predicted, results.target))
    both, either = predicted & there, predicted | there
    curve = {f"{t:.2f}": _rate((results.iou > t)[either]) for t in IOU_THRESHOLDS}
    right = results.iou > CORRECT_IOU
    turns = 1 if results.has_heading else 2
    turned = (
        np.degrees(yaw_error(turns * results.predicted[:, 2], turns * results.target[:, 2])) / turns
    )  # NaN: no pair
    low, high = wilson_interval(int(right[either].sum()), int(either.sum()))
    return EvaluationReport(
        samples=len(predicted),
        scored=int(either.sum()),
        ap=curve["0.70"],
        ap_low=low,
        ap_high=high,
        ap_mean=_rate(np.array(list(curve.values()))),
        ap_by_iou=curve,
        mean_iou=_rate(results.iou[both]),
        false_alarms=int((predicted & ~there).sum()),
        misses=int((there & ~predicted).sum()),
        presence_accuracy=_rate(predicted == there),
        heading_accuracy=_rate(turned[both] <= 30),
        heading_accuracy_of_correct=_rate(turned[right] <= 15),
        calibration_error=calibration_error(results.scores[predicted], right[predicted]),
        images_per_second=len(predicted) / results.seconds if results.seconds else 0.0,
        has_heading=results.has_heading,
    )


def choose_threshold(results: EvaluationResults) -> float:
    """The confidence threshold with the best official score, from outcomes that no threshold has cut.

    Between equally good thresholds, and against the noise of few samples, the middle of the best range is taken.
    """
    candidates = np.linspace(0.0, 0.98, 99)
    there = ~np.isnan(results.target[:, 0])
    hits = results.iou > CORRECT_IOU
    kept = np.nan_to_num(results.scores, nan=-1.0)[:, None] >= candidates  # (N, candidates)
    ap = (kept & hits[:, None]).sum(0) / np.maximum((kept | there[:, None]).sum(0), 1)
    return float(np.median(candidates[ap >= ap.max() - 1e-9]).round(4))


def wilson_interval(hits: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of a proportion: Wilson, "Probable Inference", JASA 22 (1927); (0, 1) for no samples."""
    if count == 0:
        return 0.0, 1.0
    rate, shrink = hits / count, 1 + z * z / count
    middle = (rate + z * z / (2 * count)) / shrink
    half = z * math.sqrt(rate * (1 - rate) / count + z * z / (4 * count * count)) / shrink
    return max(0.0, middle - half), min(1.0, middle + half)


def _rate(values: NDArray) -> float:
    return float(values.mean()) if values.size else 0.0
