"""The second stage's loss: how far the corners are off after the update, and how often each IoU level is reached."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, smooth_l1_loss

from centerdet.box import paired_iou, yaw_error
from centerdet.model.box_update import BoxUpdate, apply_delta, box_corners, delta_between
from centerdet.model.second_stage import SecondStageConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondStageLossConfig:
    """Weights of the terms, and which starts teach where to move.

    Attributes:
        corners: Weight of the corners' distance.
        beta: Where that distance turns from squared to linear, in widths.
        reach: Starts whose centre is farther off than this many widths teach quality alone.
        turn: The same for starts that are turned by more than this, rad.
        log_scale: The same for starts whose sizes are off by more than this factor's logarithm.
    """

    corners: float = 10.0
    beta: float = 0.02
    reach: float = 0.6
    turn: float = 1.0
    log_scale: float = 0.7

    def __post_init__(self) -> None:
        if self.corners < 0 or min(self.beta, self.reach, self.turn, self.log_scale) <= 0:
            raise ValueError(f"corners must be at least 0, all else above 0, got {self}")


class SecondStageLoss(NamedTuple):
    """Terms of the loss, scalars.

    Attributes:
        total: What is minimised.
        corners: Mean distance of the corners, smooth L1, in widths.
        now: Cross-entropy of the quality before the update.
        after: Of the quality after it.
    """

    total: Tensor
    corners: Tensor
    now: Tensor
    after: Tensor


def quality(boxes: Tensor, targets: Tensor, has_object: Tensor, config: SecondStageConfig) -> Tensor:
    """Whether each box's IoU is above each quality level, and its heading right: ``(B, L)`` of 0 and 1."""
    first, second = (part.detach().cpu().double().numpy() for part in (boxes, targets))
    iou, right = paired_iou(first, second), has_object.cpu().numpy()
    if config.has_heading:
        right = right & (yaw_error(first[:, 2], second[:, 2]) < math.pi / 2)
    reached = (iou[:, None] > np.array(config.quality_levels)) & right[:, None]
    return torch.from_numpy(reached).float().to(boxes.device)


def second_stage_loss(
    update: BoxUpdate,
    boxes: Tensor,
    targets: Tensor,
    has_object: Tensor,
    stage: SecondStageConfig,
    config: SecondStageLossConfig,
) -> SecondStageLoss:
    """Compares an update of boxes with their targets.

    Args:
        update: Of the network.
        boxes: ``(B, 5)`` px, rad, where it looked.
        targets: ``(B, 5)`` the true boxes; ignored where there is no object.
        has_object: ``(B,)`` bool.
        stage: Of the network: its quality levels, and whether there is a heading.
        config: Weights.
    """
    targets = torch.where(has_object[:, None], targets, boxes)
    moved = apply_delta(boxes, update.delta.float())
    near = _within_reach(delta_between(boxes, targets, has_heading=stage.has_heading), boxes, config) & has_object
    # Without a heading, the corners may be the true ones in the order of the half turn: that of the nearer yaw counts.
    turned = delta_between(moved.detach(), targets, has_heading=stage.has_heading)[:, 2]
    aligned = torch.cat([targets[:, :2], (moved.detach()[:, 2] + turned)[:, None], targets[:, 3:]], 1)
    distance = (box_corners(moved) - box_corners(aligned)) / targets[:, 3, None, None]
    error = smooth_l1_loss(distance, torch.zeros_like(distance), beta=config.beta, reduction="none").mean((1, 2))
    corners = (error * near).sum() / near.sum().clamp(min=1)
    now = binary_cross_entropy_with_logits(update.now.float(), quality(boxes, targets, has_object, stage))
    after = binary_cross_entropy_with_logits(update.after.float(), quality(moved, targets, has_object, stage))
    return SecondStageLoss(total=config.corners * corners + now + after, corners=corners, now=now, after=after)


def _within_reach(delta: Tensor, boxes: Tensor, config: SecondStageLossConfig) -> Tensor:
    """Whether the way to the truth ``(B, 5)`` is short enough to be learned ``(B,)``."""
    distance = delta[:, 0].hypot(delta[:, 1] * boxes[:, 4] / boxes[:, 3])  # in widths
    near = (distance < config.reach) & (delta[:, 2].abs() < config.turn)
    return near & (delta[:, 3:].abs().amax(1) < config.log_scale)
