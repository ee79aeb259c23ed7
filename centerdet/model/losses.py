"""The losses: focal for the heatmap, L1 for everything a box is read from.

Where several processes share a batch, the mean of their losses is the loss of the whole batch: sums over a share are
divided by what the shares have on average.

Focal loss for heatmaps: Law & Deng, "CornerNet", arXiv 1808.01244, eq. 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from centerdet import distributed
from centerdet.model.types import Prediction, Target


class LossTerms(NamedTuple):
    """Scalar losses; ``total`` is the weighted sum of the others, which are stored unweighted."""

    total: Tensor
    center: Tensor
    size: Tensor
    yaw: Tensor
    offset: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class LossConfig:
    """Weights of the terms and the shape of the focal loss.

    The defaults of size, yaw and offset weigh each error by about how far it moves the corners of a typical box.

    Attributes:
        alpha: Focusing exponent on the network's own error.
        beta: Exponent that spares cells near the centre.
        size: Weight of the size term (1 = one ``size_unit``).
        yaw: Weight of the sin/cos term.
        offset: Weight of the offset term (1 = one cell).
        min_heatmap: Boxes are learned in all cells whose target heatmap is at least this.
    """

    alpha: float = 2.0
    beta: float = 4.0
    size: float = 1.6
    yaw: float = 2.0
    offset: float = 0.4
    min_heatmap: float = 0.05

    def __post_init__(self) -> None:
        if min(self.alpha, self.beta, self.size, self.yaw, self.offset) < 0 or not 0 < self.min_heatmap <= 1:
            raise ValueError(f"exponents and weights must be at least 0, reach must lie in (0, 1], got {self}")


def focal_loss(logits: Tensor, heatmap: Tensor, mask: Tensor, *, alpha: float = 2.0, beta: float = 4.0) -> Tensor:
    """Penalty-reduced focal loss of a heatmap, summed over cells and divided by ``max(1, number of objects)``.

    With p = sigmoid(logit) and y = heatmap::

        at the objects' cells:  -(1 - p)^alpha             * log(p)
        elsewhere:              -(1 - y)^beta  * p^alpha   * log(1 - p)

    Args:
        logits: ``(B, 1, h, w)``.
        heatmap: ``(B, 1, h, w)`` in [0, 1].
        mask: ``(B, 1, h, w)`` bool, the objects' cells.
        alpha: Focusing exponent; 0 with beta 0 gives binary cross-entropy against ``mask``.
        beta: Exponent of the penalty reduction.
    """
    logits = logits.float()
    log_p, log_not_p = logsigmoid(logits), logsigmoid(-logits)
    positive = -((log_not_p * alpha).exp()) * log_p
    negative = -((1 - heatmap) ** beta) * (log_p * alpha).exp() * log_not_p
    objects = distributed.all_reduce_mean(mask.sum().float()).clamp(min=1 / distributed.world_size())
    return torch.where(mask, positive, negative).sum() / objects


def weighted_l1(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """L1 distance, summed over channels, averaged over cells by ``weight`` ``(B, 1, h, w)``; 0 if all weights are."""
    distance = (predicted.float() - target).abs().sum(1, keepdim=True)
    return (distance * weight).sum() / distributed.all_reduce_mean(weight.sum()).clamp(
        min=1e-6 / distributed.world_size()
    )


class CenterLoss(nn.Module):
    """Compares a ``Prediction`` with a ``Target``."""

    def __init__(self, config: LossConfig | None = None) -> None:
        super().__init__()
        self.config = config or LossConfig()

    def forward(self, prediction: Prediction, target: Target) -> LossTerms:
        """Returns the terms, each a scalar in float32; all finite for a batch without any object."""
        config = self.config
        center = focal_loss(prediction.center, target.heatmap, target.mask, alpha=config.alpha, beta=config.beta)
        weight = target.heatmap * (target.heatmap >= config.min_heatmap)
        size = weighted_l1(prediction.size, target.size, weight)
        yaw = weighted_l1(prediction.yaw, target.yaw, weight)
        offset = weighted_l1(prediction.offset, target.offset, weight)
        total = center + config.size * size + config.yaw * yaw + config.offset * offset
        return LossTerms(total=total, center=center, size=size, yaw=yaw, offset=offset)
