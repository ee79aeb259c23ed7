"""What costs accuracy: every wrong sample counted under one cause, and how often each kind of ship is found.

A sample is wrong if it is scored and its IoU is not above 0.7. The cause of a badly placed box is what would make it
right: the true yaw, the true size, or the true centre alone in place of the found one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from centerdet.box import box_corners, paired_iou, yaw_error
from centerdet.evaluation.report import CORRECT_IOU, EvaluationResults

ELSEWHERE = 0.1  # IoU: below it, the box is not about the ship
SMALL = 22.0  # px: widths go from 18 to 36
_PARTS = {"yaw": slice(2, 3), "size": slice(3, 5), "centre": slice(0, 2)}


def classify_errors(results: EvaluationResults) -> NDArray[np.str_]:
    """What went wrong in each sample, ``(N,)``; empty where nothing did.

    "wrong heading axis": the axis is more than 15 degrees off and the true yaw alone makes the box right. Otherwise the
    part (yaw, size, centre) counts whose truth alone lifts the IoU most, if that makes the box right.
    """
    predicted, there = (~np.isnan(boxes[:, 0]) for boxes in (results.predicted, results.target))
    both, wrong = predicted & there, results.iou <= CORRECT_IOU
    answer = np.full(len(predicted), "", dtype="<U20")
    answer[predicted & ~there] = "false alarm"
    answer[there & ~predicted] = "missed"
    answer[both & (results.iou < ELSEWHERE)] = "wrong place"
    placed = np.flatnonzero(both & wrong & (results.iou >= ELSEWHERE))
    if not placed.size:
        return answer
    boxes, target = results.predicted[placed], results.target[placed]
    repaired = []
    for part in _PARTS.values():
        trial = boxes.copy()
        trial[:, part] = target[:, part]
        repaired.append(paired_iou(trial, target))
    gain = np.stack(repaired)  # (3, placed)
    names = np.array([f"wrong {name}" for name in _PARTS])
    answer[placed] = np.where(gain.max(0) > CORRECT_IOU, names[gain.argmax(0)], "several of these")
    axis = yaw_error(2 * boxes[:, 2], 2 * target[:, 2]) / 2  # a half turn is the same axis
    answer[placed[(np.degrees(axis) > 15) & (gain[0] > CORRECT_IOU)]] = "wrong heading axis"
    return answer


def crossings(target: NDArray[np.float64], lines: Sequence[NDArray]) -> NDArray[np.int64]:
    """How many lines run through each box.

    Args:
        target: ``(N, 5)`` boxes, NaN where there is none.
        lines: Of each sample ``(K, 4)``: x, y of one end, x, y of the other.
    """
    there = np.flatnonzero(~np.isnan(target[:, 0]))
    count = np.zeros(len(target), dtype=np.int64)
    for index, box in zip(there, shapely.polygons(box_corners(target[there])), strict=True):
        ends = np.asarray(lines[index]).reshape(-1, 2, 2)
        count[index] = shapely.intersects(shapely.linestrings(ends), box).sum() if len(ends) else 0
    return count


def error_analysis(results: EvaluationResults, lines: Sequence[NDArray] | None = None, *, image_size: int = 200) -> str:
    """Tables as text: the wrong samples by cause; and, of the task's scenes, the ships by circumstance.

    Args:
        results: Of a detector.
        lines: As in ``crossings``, on the task's scenes; ``None``: other images, which have no second table.
        image_size: Side of the images in pixels.
    """
    if lines is None:
        return _by_cause(results)
    return f"{_by_cause(results)}\n\n{_by_circumstance(results, lines, image_size)}"


def _by_cause(results: EvaluationResults) -> str:
    answer = classify_errors(results)
    scored = max(1, (~np.isnan(results.target[:, 0]) | ~np.isnan(results.predicted[:, 0])).sum())
    names, counts = np.unique(answer[answer != ""], return_counts=True)
    rows = [f"{'wrong, by cause':<24}{'samples':>8}{'of scored':>11}"]
    for name, count in sorted(zip(names, counts, strict=True), key=lambda row: -row[1]):
        rows.append(f"{name:<24}{count:>8}{count / scored:>11.2%}")
    rows.append(f"{'all':<24}{counts.sum():>8}{counts.sum() / scored:>11.2%}")
    return "\n".join(rows)


def _by_circumstance(results: EvaluationResults, lines: Sequence[NDArray], image_size: int) -> str:
    there, corners = ~np.isnan(results.target[:, 0]), box_corners(results.target)
    cut = ((corners < 0) | (corners > image_size - 1)).any(axis=(1, 2))
    crossed, small = crossings(results.target, lines), results.target[:, 3] < SMALL
    kinds = {
        "all": there,
        "cut by the border": there & cut,
        f"small (width < {SMALL:.0f} px)": there & small,
        **{f"crossed by {n} line{'s' * (n != 1)}": there & (crossed == n) for n in range(3)},
        "crossed by 3 or more": there & (crossed >= 3),
        "whole, not crossed": there & ~cut & (crossed == 0),
    }
    rows = [f"{'ships':<24}{'samples':>8}{'right':>11}{'mean IoU':>10}"]
    for name, those in kinds.items():
        iou = results.iou[those]
        if iou.size:
            rows.append(f"{name:<24}{iou.size:>8}{(iou > CORRECT_IOU).mean():>11.2%}{iou.mean():>10.3f}")
    return "\n".join(rows)
