"""Results of a detector on labelled samples, and the report that sums them up.

AP@0.7 (task definition) is the mean of ``score_iou > 0.7`` over the samples with a predicted or a true box. It is a
success rate, not the area under a precision-recall curve. AP at other IoU thresholds is defined alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from html import escape
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from centerdet.box import yaw_error
from centerdet.detector.calibration import calibration_error

CORRECT_IOU = 0.7  # a detection is correct above this IoU (task definition)
IOU_THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))  # of AP@[0.50:0.95], as in COCO
HEADING_LIMIT = 30  # degrees: largest heading error that counts as correct, of all pairs of boxes
CORRECT_HEADING_LIMIT = 15  # degrees: the same, of the correct boxes
Z_95 = 1.959964  # standard normal quantile of a two-sided 95 % interval


class EvaluationResults(NamedTuple):
    """Predictions of a detector on N samples, and their labels.

    Attributes:
        scores: ``(N,)`` in [0, 1], NaN without a prediction.
        predicted: ``(N, 5)`` boxes, NaN without a prediction.
        target: ``(N, 5)`` boxes, NaN without an object.
        iou: ``(N,)`` IoU of predicted and true box, 0 where one is missing.
        seconds: Time that the detector took.
        has_heading: Whether yaws tell nose from tail. If not, half a turn makes no difference.
    """

    scores: NDArray[np.float64]
    predicted: NDArray[np.float64]
    target: NDArray[np.float64]
    iou: NDArray[np.float64]
    seconds: float
    has_heading: bool = True

    @property
    def has_prediction(self) -> NDArray[np.bool_]:
        """``(N,)``: whether the detector found an object."""
        return ~np.isnan(self.predicted[:, 0])

    @property
    def has_target(self) -> NDArray[np.bool_]:
        """``(N,)``: whether there is an object."""
        return ~np.isnan(self.target[:, 0])

    @property
    def scored(self) -> NDArray[np.bool_]:
        """``(N,)``: whether the sample counts, that is, has a predicted or a true box."""
        return self.has_prediction | self.has_target

    @property
    def correct(self) -> NDArray[np.bool_]:
        """``(N,)``: whether the IoU is above ``CORRECT_IOU``."""
        return self.iou > CORRECT_IOU

    def above(self, threshold: float) -> EvaluationResults:
        """The same results without the predictions that score below ``threshold``."""
        keep = self.scores >= threshold
        predicted = np.where(keep[:, None], self.predicted, np.nan)
        return self._replace(
            scores=np.where(keep, self.scores, np.nan), predicted=predicted, iou=np.where(keep, self.iou, 0.0)
        )

    def heading_errors(self) -> NDArray[np.float64]:
        """``(N,)`` degrees between predicted and true heading (or axis), NaN where a box is missing."""
        turns = 1 if self.has_heading else 2  # an axis is the same after half a turn
        return np.degrees(yaw_error(turns * self.predicted[:, 2], turns * self.target[:, 2])) / turns


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationReport:
    """Summary of evaluation metrics. Rates over nothing are 0.

    Attributes:
        samples: Number of samples.
        scored: Number of samples with a predicted or a true box; AP is a mean over these.
        ap: AP@0.7 (task definition).
        ap_low: Lower end of its 95 % interval (Wilson).
        ap_high: Upper end.
        ap_mean: Mean of AP over IoU 0.50, 0.55, ..., 0.95.
        ap_by_iou: AP at each of these.
        mean_iou: Mean IoU of the samples with both boxes.
        false_alarms: Number of samples with a predicted box only.
        misses: Number of samples with a true box only.
        presence_accuracy: Fraction of samples where a box is predicted if and only if there is an object.
        heading_accuracy: Fraction of the samples with both boxes whose headings differ by at most 30 degrees.
        heading_accuracy_of_correct: Fraction of the samples with IoU > 0.7 whose headings differ by at most 15 degrees.
        calibration_error: Expected calibration error: distance of score and rate of IoU > 0.7.
        images_per_second: Speed of the detector, decoding included.
        has_heading: Whether yaws tell nose from tail. If not, the two accuracies are those of axes.
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
        """Returns names and values as text, for a table."""
        yaw = "heading" if self.has_heading else "axis"
        return [
            ("AP@0.7", f"{self.ap:.4f}  (95 % interval {self.ap_low:.4f} to {self.ap_high:.4f})"),
            ("AP@[0.50:0.95]", f"{self.ap_mean:.4f}"),
            ("mean IoU", f"{self.mean_iou:.4f}"),
            (f"{yaw} within {HEADING_LIMIT} deg", f"{self.heading_accuracy:.4f}"),
            (f"{yaw} within {CORRECT_HEADING_LIMIT} deg if IoU > 0.7", f"{self.heading_accuracy_of_correct:.4f}"),
            ("calibration error", f"{self.calibration_error:.4f}"),
            ("false alarms", f"{self.false_alarms}"),
            ("misses", f"{self.misses}"),
            ("presence accuracy", f"{self.presence_accuracy:.4f}"),
            ("samples", f"{self.samples}"),
            ("samples with any box", f"{self.scored}"),
            ("images per second", f"{self.images_per_second:.0f}"),
        ]

    def __str__(self) -> str:
        return "\n".join(f"{name:<36}{value}" for name, value in self.rows())

    def _repr_html_(self) -> str:
        """Shows a table in notebooks."""
        rows = (f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in self.rows())
        return f"<table>{''.join(rows)}</table>"


def format_table(reports: Mapping[str, EvaluationReport]) -> str:
    """Formats reports as a table for people to read, one row for each."""
    header = "AP@0.7|95 % interval|AP@[.5:.95]|mean IoU|heading|cal. error|false alarms|misses|images/s"
    rows = [["", *header.split("|")], *([name, *_cells(report)] for name, report in reports.items())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _cells(report: EvaluationReport) -> list[str]:
    interval = f"{report.ap_low:.4f} to {report.ap_high:.4f}"
    accuracies = (report.ap_mean, report.mean_iou, report.heading_accuracy, report.calibration_error)
    counts = (str(report.false_alarms), str(report.misses), f"{report.images_per_second:.0f}")
    return [f"{report.ap:.4f}", interval, *(f"{value:.4f}" for value in accuracies), *counts]


def summarise(results: EvaluationResults) -> EvaluationReport:
    """Computes the report of results."""
    predicted, there, scored, correct = results.has_prediction, results.has_target, results.scored, results.correct
    both = predicted & there
    curve = {f"{t:.2f}": _rate((results.iou > t)[scored]) for t in IOU_THRESHOLDS}
    heading_errors = results.heading_errors()
    low, high = wilson_interval(int(correct[scored].sum()), int(scored.sum()))
    return EvaluationReport(
        samples=len(predicted),
        scored=int(scored.sum()),
        ap=curve["0.70"],
        ap_low=low,
        ap_high=high,
        ap_mean=_rate(np.array(list(curve.values()))),
        ap_by_iou=curve,
        mean_iou=_rate(results.iou[both]),
        false_alarms=int((predicted & ~there).sum()),
        misses=int((there & ~predicted).sum()),
        presence_accuracy=_rate(predicted == there),
        heading_accuracy=_rate(heading_errors[both] <= HEADING_LIMIT),
        heading_accuracy_of_correct=_rate(heading_errors[correct] <= CORRECT_HEADING_LIMIT),
        calibration_error=calibration_error(results.scores[predicted], correct[predicted]),
        images_per_second=len(predicted) / results.seconds if results.seconds else 0.0,
        has_heading=results.has_heading,
    )


def wilson_interval(hits: int, count: int, z: float = Z_95) -> tuple[float, float]:
    """95 % interval of a proportion: Wilson, "Probable Inference", JASA 22 (1927); (0, 1) for no samples."""
    if count == 0:
        return 0.0, 1.0
    rate, shrink = hits / count, 1 + z * z / count
    middle = (rate + z * z / (2 * count)) / shrink
    half = z * math.sqrt(rate * (1 - rate) / count + z * z / (4 * count * count)) / shrink
    return max(0.0, middle - half), min(1.0, middle + half)


def _rate(values: NDArray) -> float:
    return float(values.mean()) if values.size else 0.0
