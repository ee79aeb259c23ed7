"""The loss: a focal loss of the heatmap, and L1 losses of size, yaw and offset.

Several processes may share a batch. Then the mean of their losses is the loss of the whole batch: each process divides
the sum over its share by the mean normaliser of all shares.

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

MIN_RELATIVE_SIZE = 0.1  # size units: smaller objects weigh no more
MIN_WEIGHT = 1e-6  # smallest sum of weights that an L1 loss is divided by; avoids 0 / 0 without any object


class LossTerms(NamedTuple):
    """Scalar losses: the unweighted terms, and ``total``, their weighted sum."""

    total: Tensor
    center: Tensor
    size: Tensor
    yaw: Tensor
    offset: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class LossConfig:
    """Weights of the terms, and exponents of the focal loss.

    The defaults of size, yaw and offset weigh each error by about how far it moves the corners of a typical box.

    Attributes:
        alpha: Exponent that makes cells with a small error count less.
        beta: Exponent that makes cells near the centre count less.
        size: Weight of the size term, per ``size_unit`` of error.
        yaw: Weight of the yaw term, per unit of sin and cos.
        offset: Weight of the offset term, per cell of error.
        relative: Weigh errors of size and offset by ``size_unit / sqrt(width * height)`` of their object, for objects
            of very different sizes: a pixel means more for a small one.
        min_heatmap: Size, yaw and offset are learned in the cells whose target heatmap is at least this, in (0, 1].

    Raises:
        ValueError: If a setting is out of range.
    """

    alpha: float = 2.0  # this and beta: Law & Deng, "CornerNet"
    beta: float = 4.0
    size: float = 1.6
    yaw: float = 2.0
    offset: float = 0.4
    relative: bool = False
    min_heatmap: float = 0.05

    def __post_init__(self) -> None:
        if min(self.alpha, self.beta, self.size, self.yaw, self.offset) < 0 or not 0 < self.min_heatmap <= 1:
            raise ValueError(f"exponents and weights must be at least 0, min_heatmap must lie in (0, 1], got {self}")


def focal_loss(logits: Tensor, heatmap: Tensor, mask: Tensor, *, alpha: float = 2.0, beta: float = 4.0) -> Tensor:
    """Computes the penalty-reduced focal loss of a heatmap.

    The loss is the sum over all cells, divided by ``max(1, number of objects in the batch)``.

    With p = sigmoid(logit) and y = heatmap::

        at the objects' cells:  -(1 - p)^alpha             * log(p)
        elsewhere:              -(1 - y)^beta  * p^alpha   * log(1 - p)

    Args:
        logits: ``(B, 1, h, w)``.
        heatmap: ``(B, 1, h, w)`` in [0, 1].
        mask: ``(B, 1, h, w)`` bool, the objects' cells.
        alpha: Exponent that makes cells with a small error count less.
        beta: Exponent that makes cells near the centre count less. If both are 0, the loss is the binary cross-entropy
            against ``mask``.

    Returns:
        A scalar in float32, finite for all finite logits.
    """
    logits = logits.float()
    log_p, log_not_p = logsigmoid(logits), logsigmoid(-logits)  # stay finite where log(sigmoid) would not
    positive = -((log_not_p * alpha).exp()) * log_p
    negative = -((1 - heatmap) ** beta) * (log_p * alpha).exp() * log_not_p
    objects = distributed.all_reduce_mean(mask.sum().float()).clamp(min=1 / distributed.world_size())
    return torch.where(mask, positive, negative).sum() / objects


def weighted_l1(predicted: Tensor, target: Tensor, weight: Tensor, scale: Tensor | None = None) -> Tensor:
    """Computes the L1 distance, summed over channels and averaged over cells by weight.

    Args:
        predicted: ``(B, C, h, w)``.
        target: ``(B, C, h, w)``.
        weight: ``(B, 1, h, w)``, at least 0.
        scale: ``(B, 1, h, w)`` factors of the distances, which do not change the sum of the weights; ``None``: 1.

    Returns:
        A scalar in float32; 0 if all weights are 0.
    """
    distance = (predicted.float() - target).abs().sum(1, keepdim=True)  # (B, 1, h, w)
    distance = distance if scale is None else distance * scale
    total = distributed.all_reduce_mean(weight.sum()).clamp(min=MIN_WEIGHT / distributed.world_size())
    return (distance * weight).sum() / total


def _relative_scale(size: Tensor) -> Tensor:
    """From sizes ``(B, 2, h, w)`` in size units to factors ``(B, 1, h, w)``: the inverse of their geometric mean."""
    return size.prod(1, keepdim=True).sqrt().clamp(min=MIN_RELATIVE_SIZE).reciprocal()


class CenterLoss(nn.Module):
    """Compares a ``Prediction`` with a ``Target``.

    Args:
        config: Weights and exponents.
    """

    def __init__(self, config: LossConfig | None = None) -> None:
        super().__init__()
        self.config = config or LossConfig()

    def forward(self, prediction: Prediction, target: Target) -> LossTerms:
        """Returns the terms, scalars in float32. They are finite even if no image of the batch has an object."""
        config = self.config
        center = focal_loss(prediction.center, target.heatmap, target.mask, alpha=config.alpha, beta=config.beta)
        weight = target.heatmap * (target.heatmap >= config.min_heatmap)
        scale = _relative_scale(target.size) if config.relative else None
        size = weighted_l1(prediction.size, target.size, weight, scale)
        yaw = weighted_l1(prediction.yaw, target.yaw, weight)
        offset = weighted_l1(prediction.offset, target.offset, weight, scale)
        total = center + config.size * size + config.yaw * yaw + config.offset * offset
        return LossTerms(total=total, center=center, size=size, yaw=yaw, offset=offset)
