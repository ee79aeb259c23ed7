"""Error analysis: one cause for each wrong sample, and success rates by what the scene looks like.

A sample is wrong if it is scored and its IoU is not above 0.7. A badly placed box is put down to the part (yaw, size or
centre) whose true value alone would make the box correct.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from centerdet.box import box_corners, paired_iou, yaw_error
from centerdet.evaluation.report import CORRECT_IOU, EvaluationResults

MIN_OVERLAP = 0.1  # IoU: below it, the box lies on something else than the object
MAX_AXIS_ERROR = 15.0  # degrees: above it, the axis is wrong, not just imprecise
SMALL_WIDTH = 22.0  # px: the task's widths go from 18 to 36
_PARTS = {"yaw": slice(2, 3), "size": slice(3, 5), "centre": slice(0, 2)}


def error_analysis(results: EvaluationResults, lines: Sequence[NDArray] | None = None, *, image_size: int = 200) -> str:
    """Tables as text: the wrong samples by cause; for synthetic scenes also the objects by circumstance.

    Args:
        results: Results above the detector's threshold.
        lines: Lines of each synthetic scene, as in ``count_line_crossings``; ``None``: no second table.
        image_size: Side of the synthetic scenes, px.
    """
    if lines is None:
        return _errors_by_cause(results)
    return f"{_errors_by_cause(results)}\n\n{_rates_by_circumstance(results, lines, image_size)}"


def classify_errors(results: EvaluationResults) -> NDArray[np.str_]:
    """Cause of the error in each sample ``(N,)``, empty if there is none.

    Causes are "false alarm", "missed", "wrong place" (IoU below 0.1), "wrong heading axis" (the axis is more than 15
    degrees off, and the true yaw alone makes the box correct), "wrong yaw", "wrong size", "wrong centre" (of these, the
    one whose true value raises the IoU most, if that makes the box correct) and "several of these".
    """
    predicted, there = results.has_prediction, results.has_target
    both = predicted & there
    causes = np.full(len(predicted), "", dtype="<U20")
    causes[predicted & ~there] = "false alarm"
    causes[there & ~predicted] = "missed"
    causes[both & (results.iou < MIN_OVERLAP)] = "wrong place"
    placed = both & ~results.correct & (results.iou >= MIN_OVERLAP)
    if placed.any():
        causes[placed] = _classify_placed(results.predicted[placed], results.target[placed])
    return causes


def _classify_placed(boxes: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.str_]:
    """Causes ``(M,)`` for wrong boxes ``(M, 5)`` that overlap their true boxes."""
    repaired = []
    for part in _PARTS.values():
        trial = boxes.copy()
        trial[:, part] = target[:, part]
        repaired.append(paired_iou(trial, target))
    iou = np.stack(repaired)  # (3, M): with the true yaw, size, centre
    names = np.array([f"wrong {name}" for name in _PARTS])
    causes = np.where(iou.max(0) > CORRECT_IOU, names[iou.argmax(0)], "several of these")
    axis_error = np.degrees(yaw_error(2 * boxes[:, 2], 2 * target[:, 2]) / 2)  # half a turn is the same axis
    return np.where((axis_error > MAX_AXIS_ERROR) & (iou[0] > CORRECT_IOU), "wrong heading axis", causes)


def count_line_crossings(target: NDArray[np.float64], lines: Sequence[NDArray]) -> NDArray[np.int64]:
    """Number of lines that cross each box, ``(N,)``.

    Args:
        target: ``(N, 5)`` boxes, NaN where there is none.
        lines: For each sample ``(K, 4)``: x, y of one end, x, y of the other, px.
    """
    there = np.flatnonzero(~np.isnan(target[:, 0])).tolist()
    count = np.zeros(len(target), dtype=np.int64)
    for index, box in zip(there, shapely.polygons(box_corners(target[there])), strict=True):
        ends = np.asarray(lines[index]).reshape(-1, 2, 2)
        count[index] = shapely.intersects(shapely.linestrings(ends), box).sum() if len(ends) else 0
    return count


def _errors_by_cause(results: EvaluationResults) -> str:
    causes = classify_errors(results)
    scored = max(1, results.scored.sum())
    names, counts = np.unique(causes[causes != ""], return_counts=True)
    rows = [f"{'wrong, by cause':<24}{'samples':>8}{'of scored':>11}"]
    for name, count in sorted(zip(names, counts, strict=True), key=lambda row: -row[1]):
        rows.append(f"{name:<24}{count:>8}{count / scored:>11.2%}")
    rows.append(f"{'all':<24}{counts.sum():>8}{counts.sum() / scored:>11.2%}")
    return "\n".join(rows)


def _rates_by_circumstance(results: EvaluationResults, lines: Sequence[NDArray], image_size: int) -> str:
    there, corners = results.has_target, box_corners(results.target)
    cut = ((corners < 0) | (corners > image_size - 1)).any(axis=(1, 2))
    crossed, small = count_line_crossings(results.target, lines), results.target[:, 3] < SMALL_WIDTH
    groups = {
        "all": there,
        "cut by the border": there & cut,
        f"small (width < {SMALL_WIDTH:.0f} px)": there & small,
        **{f"crossed by {n} line{'s' * (n != 1)}": there & (crossed == n) for n in range(3)},
        "crossed by 3 or more": there & (crossed >= 3),
        "whole, not crossed": there & ~cut & (crossed == 0),
    }
    rows = [f"{'objects':<24}{'samples':>8}{'correct':>11}{'mean IoU':>10}"]
    for name, group in groups.items():
        iou = results.iou[group]
        if iou.size:
            rows.append(f"{name:<24}{iou.size:>8}{results.correct[group].mean():>11.2%}{iou.mean():>10.3f}")
    return "\n".join(rows)
