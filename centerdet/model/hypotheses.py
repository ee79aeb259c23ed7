"""Hypotheses of the second stage: where it starts, how often it moves a box, and which box it keeps.

The box of the heatmap's highest peak is moved until it settles. If the second stage is not sure of the result, it moves
alternatives in the same way: the boxes of the next peaks, and turned copies of the first. The final score combines the
predicted probability of the IoU level and the height of the first peak.

All work depends on the image: a box that hardly moved is not moved again, a peak that is hardly one gets a single pass
and no alternatives. In an exported graph all boxes take all passes, and masks give the same results.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from centerdet.model.box_update import apply_delta, box_corners
from centerdet.model.second_stage import SecondStage

MIN_CHANCE = 1e-6  # as far as single precision can tell peaks from 0 and 1
MAX_PASSES = 32  # and peaks and turns: each costs time
MAX_TURN = 2 * math.pi  # rad
MAX_PEAK_WEIGHT = 100.0  # fitted ones are near 1


@dataclass(frozen=True, slots=True, kw_only=True)
class HypothesesConfig:
    """Boxes that the second stage tries, and its passes; stored with the weights.

    The defaults come from 4,000 validation scenes: the cheapest settings with the accuracy of four passes everywhere.

    Attributes:
        passes: Largest number of times that the highest peak's box is moved.
        settled: px; a box is not moved again once no corner moved as far as this.
        min_peak: A heatmap whose highest peak is lower gets one pass and no alternatives.
        peaks: Peaks whose boxes are tried, the highest one included.
        turns: Turned copies of the highest peak's box that are tried, rad.
        alternative_passes: Largest number of times that an alternative is moved.
        sure: Alternatives are tried where the stage's chance for the first hypothesis is below this.
        min_gain: Mean chance over the quality levels by which a later hypothesis must be better than an earlier one:
            rounding must not choose between hypotheses that are equally good.
        score_level: Index of the quality level that the score is about.
        peak_weight: Weight of the peak's log-odds in the score; those of the stage have the weight 1.

    Raises:
        ValueError: If a setting is out of range.
    """

    passes: int = 4
    settled: float = 0.75
    min_peak: float = 0.2
    peaks: int = 3
    turns: tuple[float, ...] = (math.pi,)
    alternative_passes: int = 3
    sure: float = 0.9
    min_gain: float = 0.02
    score_level: int = 1
    peak_weight: float = 1.0

    def __post_init__(self) -> None:
        for name in ("passes", "alternative_passes", "peaks"):
            if not 1 <= getattr(self, name) <= MAX_PASSES:
                raise ValueError(f"{name} must lie in 1..{MAX_PASSES}, got {getattr(self, name)}")
        if len(self.turns) > MAX_PASSES or not all(abs(turn) <= MAX_TURN for turn in self.turns):
            raise ValueError(f"turns must be at most {MAX_PASSES} angles in [-2 pi, 2 pi] rad, got {self.turns}")
        for name in ("min_peak", "sure", "min_gain"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        if not 0 <= self.settled < math.inf:
            raise ValueError(f"settled must be at least 0 px and finite, got {self.settled}")
        if self.score_level < 0 or not 0 <= self.peak_weight <= MAX_PEAK_WEIGHT:
            raise ValueError(
                f"score_level must be at least 0 and peak_weight lie in [0, {MAX_PEAK_WEIGHT:g}], "
                f"got {self.score_level} and {self.peak_weight}"
            )


class _Moved(NamedTuple):
    """Boxes ``(N, 5)``, and the quality logits that are predicted for them ``(N, L)``."""

    boxes: Tensor
    quality: Tensor


def best_hypothesis(
    stage: SecondStage,
    encoded: Tensor,
    boxes: Tensor,
    heights: Tensor,
    next_peaks: Callable[[Tensor], Tensor],
    config: HypothesesConfig,
) -> tuple[Tensor, Tensor]:
    """Moves boxes, and takes the best one of each image.

    Args:
        stage: Trained, in evaluation mode.
        encoded: ``(B, C, H, W)`` images of ``CenterNet.encode_images``.
        boxes: ``(B, 5)`` px, rad, the boxes of the heatmaps' highest peaks.
        heights: ``(B,)`` in [0, 1], those peaks.
        next_peaks: Gives the boxes ``(R, peaks - 1, 5)`` of the next peaks, for indices of images ``(R,)``.
        config: Passes and alternatives.

    Returns:
        Boxes ``(B, 5)``, yaw in (-pi, pi], and confidences ``(B,)`` in [0, 1], not calibrated.
    """
    likely = heights >= config.min_peak
    found = _move(stage, encoded, boxes, None, likely, config.passes, config.settled)
    doubtful = likely & (found.quality[:, config.score_level].sigmoid() < config.sure)
    rows = _rows(doubtful)
    if config.peaks - 1 + len(config.turns) and _any(rows):
        turned = [boxes[rows, None] + boxes.new_tensor([0, 0, turn, 0, 0]) for turn in config.turns]
        starts = torch.cat([next_peaks(rows), *turned], 1)  # (R, K, 5)
        image_index = rows.repeat_interleave(starts.shape[1])
        everywhere = torch.ones_like(image_index, dtype=torch.bool)
        others = _move(
            stage,
            encoded,
            starts.flatten(0, 1),
            image_index,
            everywhere,
            config.alternative_passes,
            config.settled,
        )
        first = _Moved(*(part[rows] for part in found))
        chosen = _choose(first, others, starts.shape[1], config.min_gain)
        found = _replace(found, rows, chosen, doubtful[rows])
    yaw = torch.atan2(found.boxes[:, 2].sin(), found.boxes[:, 2].cos())  # in (-pi, pi]
    boxes = torch.cat([found.boxes[:, :2], yaw[:, None], found.boxes[:, 3:]], 1)
    odds = torch.logit(heights, eps=MIN_CHANCE)
    return boxes, (found.quality[:, config.score_level] + config.peak_weight * odds).sigmoid()


def _move(
    stage: SecondStage,
    encoded: Tensor,
    boxes: Tensor,
    image_index: Tensor | None,
    unsettled: Tensor,
    passes: int,
    settled: float,
) -> _Moved:
    """Moves boxes ``(N, 5)`` until they settle; once where not ``unsettled``.

    Their images are ``image_index`` ``(N,)``; ``None``: box n lies in image n.
    """
    moved = _pass(stage, encoded, boxes, image_index)
    unsettled = unsettled & (_distance(boxes, moved.boxes) >= settled)
    for _ in range(passes - 1):
        rows = _rows(unsettled)
        if not _any(rows):
            break
        all_rows = rows.shape[0] == boxes.shape[0]  # len() would be a constant in an exported graph
        if image_index is not None:
            index: Tensor | None = image_index[rows]
        else:
            index = None if all_rows else rows
        before = moved.boxes[rows]
        new = _pass(stage, encoded, before, index)
        moved = _replace(moved, rows, new, unsettled[rows])
        unsettled = unsettled.index_copy(0, rows, unsettled[rows] & (_distance(before, new.boxes) >= settled))
    return moved


def _pass(stage: SecondStage, encoded: Tensor, boxes: Tensor, image_index: Tensor | None) -> _Moved:
    update = stage.predict_updates(encoded, boxes, image_index)
    return _Moved(apply_delta(boxes, update.delta), update.after)


def _rows(mask: Tensor) -> Tensor:
    """Indices where a mask ``(N,)`` is true; all of them in an exported graph, which has no branches."""
    return torch.arange(mask.shape[0]) if torch.compiler.is_exporting() else mask.nonzero()[:, 0]


def _any(rows: Tensor) -> bool:
    return torch.compiler.is_exporting() or rows.shape[0] > 0


def _replace(moved: _Moved, rows: Tensor, new: _Moved, where: Tensor) -> _Moved:
    """Puts ``new`` ``(R, ...)`` into rows ``(R,)``, where the mask ``(R,)`` is true."""
    parts = [torch.where(where[:, None], b, a[rows]) for a, b in zip(moved, new, strict=True)]
    return _Moved(*(part.index_copy(0, rows, chosen) for part, chosen in zip(moved, parts, strict=True)))


def _choose(first: _Moved, others: _Moved, count: int, min_gain: float) -> _Moved:
    """The best of a first hypothesis ``(R, ...)`` and its ``count`` others ``(R * count, ...)``; ties: the earlier."""
    parts = [torch.cat([a[:, None], b.unflatten(0, (-1, count))], 1) for a, b in zip(first, others, strict=True)]
    value = parts[1].sigmoid().mean(-1)  # (R, 1 + count), the mean chance over the levels
    good = value >= value.amax(1, keepdim=True) - min_gain
    index = good.int().argmax(1)[:, None, None]  # the first of them
    return _Moved(*(part.gather(1, index.expand(-1, 1, part.shape[2]))[:, 0] for part in parts))


def _distance(boxes: Tensor, moved: Tensor) -> Tensor:
    """Largest distance ``(N,)`` px that a corner of a box moved."""
    return torch.linalg.vector_norm(box_corners(moved) - box_corners(boxes), dim=-1).amax(1)
