"""Plots of an evaluation as SVG: precision and recall, IoU, heading errors, reliability."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from centerdet.detector.calibration import calibration_error, reliability
from centerdet.evaluation.report import CORRECT_IOU, EvaluationResults

FIGURE_SIZE = (4, 3)  # inches
IOU_BINS = 40  # 0.025 each
HEADING_BINS = 60  # 3 degrees each; 1.5 for axes


def draw_curves(results: EvaluationResults, threshold: float) -> Iterator[tuple[str, str]]:
    """Draws each plot.

    Args:
        results: Of ``metrics.predict_all(..., ignore_threshold=True)``.
        threshold: Score above which detections count in the histograms.

    Yields:
        An ``<svg>`` element and its caption.
    """
    above = results.above(threshold)
    for draw, shown in (
        (_precision_recall, results),
        (_iou_histogram, above),
        (_heading_histogram, above),
        (_reliability_diagram, results),
    ):
        figure = Figure(figsize=FIGURE_SIZE, layout="constrained")
        caption = draw(figure.add_subplot(), shown)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
        yield text.getvalue()[text.getvalue().index("<svg") :], caption


def _precision_recall(axes: Axes, results: EvaluationResults) -> str:
    found = results.has_prediction
    order = np.argsort(-results.scores[found], kind="stable")
    hits = np.cumsum(results.correct[found][order])
    precision = hits / np.arange(1, len(hits) + 1)
    recall = hits / max(1, int(results.has_target.sum()))
    axes.plot(recall, precision)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))
    return "Precision and recall of boxes with IoU > 0.7, for all thresholds"


def _iou_histogram(axes: Axes, results: EvaluationResults) -> str:
    iou = results.iou[results.has_prediction & results.has_target].clip(max=1)  # rounding can exceed 1
    axes.hist(iou, bins=np.linspace(0, 1, IOU_BINS + 1).tolist())
    axes.axvline(CORRECT_IOU, color="0.4", linestyle="--", linewidth=1)
    axes.set(xlabel="IoU", ylabel="images")
    axes.set_ylim(bottom=0, top=None if iou.size else 1)
    return "IoU of predicted and true box; boxes to the right of the dashed line are correct"


def _heading_histogram(axes: Axes, results: EvaluationResults) -> str:
    errors = results.heading_errors()[results.correct]
    largest, yaw = (180, "heading") if results.has_heading else (90, "axis")  # degrees
    axes.hist(errors, bins=np.linspace(0, largest, HEADING_BINS + 1).tolist(), log=errors.size > 0)
    axes.set(xlabel=f"{yaw} error, degrees", ylabel="images")
    # From 0.5: bars of height 1 are visible on the logarithmic scale.
    axes.set_ylim(*((0.5, None) if errors.size else (0, 1)))
    return f"{yaw.capitalize()} error of the boxes with IoU > 0.7"


def _reliability_diagram(axes: Axes, results: EvaluationResults) -> str:
    found = results.has_prediction
    scores, correct = results.scores[found], results.correct[found]
    count, mean, fraction = reliability(scores, correct)
    used = count > 0
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    axes.plot(mean[used], fraction[used], linewidth=1)
    axes.scatter(mean[used], fraction[used], s=6 + 100 * count[used] / max(1, count.max()), clip_on=False, zorder=3)
    axes.set(xlabel="score", ylabel="fraction with IoU > 0.7", xlim=(0, 1), ylim=(0, 1))
    error = calibration_error(scores, correct)
    text = "Score and fraction of correct boxes, also below the threshold; larger dots: more images"
    return f"{text}. Expected calibration error: {error:.3f}"
