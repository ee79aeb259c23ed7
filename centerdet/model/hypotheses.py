"""Hypotheses of the second stage: passes over the first stage's box, and alternatives if its quality is low.

The second stage moves the box of the heatmap's highest peak in a few passes, and keeps the box with the best predicted
quality. If that quality is low, it tries alternatives in the same way: the boxes of the next peaks, and turned copies
of the first. The final score combines the predicted probability of the IoU level and the height of the first peak.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from centerdet.model.box_update import apply_delta
from centerdet.model.second_stage import SecondStage

MIN_CHANCE = 1e-6  # as far as single precision can tell peaks from 0 and 1


@dataclass(frozen=True, slots=True, kw_only=True)
class HypothesesConfig:
    """Boxes that the second stage tries, and its passes; stored with the weights.

    Attributes:
        passes: Number of times that the highest peak's box is moved.
        peaks: Peaks whose boxes are tried, the highest one included.
        turns: Turned copies of the highest peak's box that are tried, rad.
        beam: Alternatives that are left in each of their passes, falling from ``peaks - 1 + len(turns)``; none are
            tried if it is empty.
        sure: Alternatives are tried where the stage's chance for the first hypothesis is below this.
        score_level: Index of the quality level that the score is about.
        peak_weight: Weight of the peak's log-odds in the score; those of the stage have the weight 1.
    """

    passes: int = 4
    peaks: int = 3
    turns: tuple[float, ...] = (math.pi,)
    beam: tuple[int, ...] = (3, 3, 1, 1)
    sure: float = 0.9
    score_level: int = 1
    peak_weight: float = 1.0

    def __post_init__(self) -> None:
        alternatives = self.peaks - 1 + len(self.turns)
        if self.passes < 1 or self.peaks < 1 or self.score_level < 0 or not self.peak_weight >= 0:
            raise ValueError(f"passes and peaks must be at least 1, score_level and peak_weight at least 0, got {self}")
        if self.beam and (self.beam[0] != alternatives or min(self.beam) < 1):
            raise ValueError(f"beam must begin with all {alternatives} alternatives, or be empty, got {self.beam}")
        if list(self.beam) != sorted(self.beam, reverse=True):
            raise ValueError(f"beam must fall, got {self.beam}")
        if not 0 <= self.sure <= 1:
            raise ValueError(f"sure must lie in [0, 1], got {self.sure}")


class _Found(NamedTuple):
    """One box for each image ``(B, 5)``, and its quality logits ``(B, L)``."""

    boxes: Tensor
    quality: Tensor


def best_hypothesis(
    stage: SecondStage, log_likelihood_ratio: Tensor, peaks: Tensor, heights: Tensor, config: HypothesesConfig
) -> tuple[Tensor, Tensor]:
    """Moves boxes, and takes the best one of each image.

    Args:
        stage: Trained, in evaluation mode.
        log_likelihood_ratio: ``(B, C, H, W)``, what the first stage sees of the images.
        peaks: ``(B, K, 5)`` px, rad, the boxes of the heatmaps' highest peaks, at least ``config.peaks`` of them.
        heights: ``(B, K)`` in [0, 1], the peaks.
        config: Passes and alternatives.

    Returns:
        Boxes ``(B, 5)``, yaw in (-pi, pi], and confidences ``(B,)`` in [0, 1], not calibrated.
    """
    found = _move(stage, log_likelihood_ratio, peaks[:, :1], (1,) * config.passes)
    if config.beam:
        doubtful = found.quality[:, config.score_level].sigmoid() < config.sure
        # An exported graph has no branches: it tries the alternatives for every image, with the same results.
        everywhere = torch.compiler.is_exporting()
        rows = torch.arange(doubtful.shape[0]) if everywhere else doubtful.nonzero()[:, 0]
        turned = [peaks[:, :1] + peaks.new_tensor([0, 0, turn, 0, 0]) for turn in config.turns]
        alternatives = torch.cat([peaks[:, 1 : config.peaks], *turned], 1)
        others = _move(stage, log_likelihood_ratio[rows], alternatives[rows], config.beam)
        first = _Found(*(part[rows] for part in found))
        better = (_value(others.quality) > _value(first.quality)) & doubtful[rows]
        chosen = (torch.where(better[:, None], b, a) for a, b in zip(first, others, strict=True))
        found = _Found(*(part.index_copy(0, rows, new) for part, new in zip(found, chosen, strict=True)))
    yaw = torch.atan2(found.boxes[:, 2].sin(), found.boxes[:, 2].cos())  # in (-pi, pi]
    boxes = torch.cat([found.boxes[:, :2], yaw[:, None], found.boxes[:, 3:]], 1)
    odds = torch.logit(heights[:, 0], eps=MIN_CHANCE)
    return boxes, (found.quality[:, config.score_level] + config.peak_weight * odds).sigmoid()


def _move(stage: SecondStage, log_likelihood_ratio: Tensor, boxes: Tensor, beam: tuple[int, ...]) -> _Found:
    """Moves boxes ``(B, K, 5)`` in ``len(beam)`` passes; returns each image's best box of all passes.

    The quality of a box is what the pass that starts from it predicts; that of the last one comes from the pass before.
    """
    delta, quality, after = stage.predict_updates(log_likelihood_ratio, boxes)
    best, boxes = boxes, apply_delta(boxes, delta)
    for count in beam[1:]:
        if count < boxes.shape[1]:  # only the boxes with the best predicted quality continue
            index = _value(after).topk(count, dim=1).indices[..., None]  # (B, count, 1)
            boxes, best, quality = (
                part.gather(1, index.expand(-1, -1, part.shape[2])) for part in (boxes, best, quality)
            )
        delta, now, after = stage.predict_updates(log_likelihood_ratio, boxes)
        best, quality = _better(best, quality, boxes, now)
        boxes = apply_delta(boxes, delta)
    best, quality = _better(best, quality, boxes, after)
    index = _value(quality).argmax(1)[:, None, None]
    return _Found(*(part.gather(1, index.expand(-1, 1, part.shape[2]))[:, 0] for part in (best, quality)))


def _better(boxes: Tensor, quality: Tensor, new_boxes: Tensor, new_quality: Tensor) -> tuple[Tensor, Tensor]:
    better = (_value(new_quality) > _value(quality))[..., None]
    return torch.where(better, new_boxes, boxes), torch.where(better, new_quality, quality)


def _value(quality: Tensor) -> Tensor:
    """One number for quality logits ``(..., L)``: the mean chance over the levels ``(...)``."""
    return quality.sigmoid().mean(-1)
