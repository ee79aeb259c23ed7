"""The curves of a report, each as an SVG picture: precision and recall, IoU, heading errors, reliability."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from centerdet.box import yaw_error
from centerdet.detector.calibration import calibration_error, reliability
from centerdet.evaluation.report import CORRECT_IOU, EvaluationResults


def draw_curves(everything: EvaluationResults, threshold: float) -> Iterator[tuple[str, str]]:
    """Draws each curve.

    Args:
        everything: Of ``metrics.predict_all_unthresholded``.
        threshold: Which detections count in the histograms.

    Yields:
        An ``<svg>`` element and its caption.
    """
    results = everything.above(threshold)
    for draw, shown in (
        (_precision_recall, everything),
        (_ious, results),
        (_headings, results),
        (_reliability, everything),
    ):
        figure = Figure(figsize=(4, 3), layout="constrained")
        caption = draw(figure.add_subplot(), shown)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
        yield text.getvalue()[text.getvalue().index("<svg") :], caption


def _precision_recall(axes: Axes, results: EvaluationResults) -> str:
    predicted = ~np.isnan(results.scores)
    order = np.argsort(-results.scores[predicted], kind="stable")
    hits = np.cumsum((results.iou > CORRECT_IOU)[predicted][order])
    precision = hits / np.arange(1, len(hits) + 1)
    recall = hits / max(1, int((~np.isnan(results.target[:, 0])).sum()))
    axes.plot(recall, precision)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))
    return "Precision and recall of boxes with IoU > 0.7 as the threshold falls"


def _ious(axes: Axes, results: EvaluationResults) -> str:
    both = ~np.isnan(results.predicted[:, 0]) & ~np.isnan(results.target[:, 0])
    axes.hist(results.iou[both], bins=np.linspace(0, 1, 41))
    axes.axvline(CORRECT_IOU, color="0.4", linestyle="--", linewidth=1)
    axes.set(xlabel="IoU", ylabel="images")
    return "IoU of found and true box; right of the dashed line a box is right"


def _headings(axes: Axes, results: EvaluationResults) -> str:
    right = results.iou > CORRECT_IOU
    turns = 1 if results.has_heading else 2
    error = yaw_error(turns * results.predicted[right, 2], turns * results.target[right, 2])
    axes.hist(np.degrees(error) / turns, bins=np.linspace(0, 180 / turns, 61), log=bool(right.any()))
    axes.set(xlabel="heading error, degrees" if results.has_heading else "axis error, degrees", ylabel="images")
    axes.set_ylim(bottom=0.5 if right.any() else 0)  # on a scale of logarithms, 1 is to be seen
    return f"{'Heading' if results.has_heading else 'Axis'} error of the boxes with IoU > 0.7"


def _reliability(axes: Axes, results: EvaluationResults) -> str:
    predicted = ~np.isnan(results.scores)
    right = (results.iou > CORRECT_IOU)[predicted]
    count, mean, fraction = reliability(results.scores[predicted], right)
    seen = count > 0
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    axes.plot(mean[seen], fraction[seen], linewidth=1)
    axes.scatter(mean[seen], fraction[seen], s=6 + 100 * count[seen] / max(1, count.max()), clip_on=False, zorder=3)
    axes.set(xlabel="score", ylabel="fraction with IoU > 0.7", xlim=(0, 1), ylim=(0, 1))
    error = calibration_error(results.scores[predicted], right)
    return f"Is a score the chance of being right? Larger dots: more images. Expected calibration error: {error:.3f}"
