"""How the second stage moves boxes: updates in a box's own frame, applied and taken."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class BoxUpdate(NamedTuple):
    """Output of the second stage for B boxes.

    Attributes:
        delta: ``(B, 5)``: shift across / width, shift along / height, turn (rad), log-scales of width and height.
        now: ``(B, L)`` logits: IoU above each quality level (and heading right) for the box as it is.
        after: ``(B, L)`` logits: the same for the box once ``delta`` is applied.
    """

    delta: Tensor
    now: Tensor
    after: Tensor


def apply_delta(boxes: Tensor, delta: Tensor) -> Tensor:
    """Moves boxes ``(..., 5)`` (px, rad) by updates ``(..., 5)``, see ``BoxUpdate``."""
    x, y, yaw, width, height = boxes.unbind(-1)
    across, along, turn, log_width, log_height = delta.unbind(-1)
    u, v, sin, cos = across * width, along * height, yaw.sin(), yaw.cos()
    sizes = width * log_width.exp(), height * log_height.exp()
    return torch.stack([x + u * cos + v * sin, y - u * sin + v * cos, yaw + turn, *sizes], -1)


def delta_between(boxes: Tensor, targets: Tensor, *, has_heading: bool = True) -> Tensor:
    """The update ``(..., 5)`` that takes boxes to targets: the inverse of ``apply_delta``.

    The turn lies in [-pi, pi); without a heading a half turn changes nothing, and it lies in [-pi/2, pi/2).
    """
    x, y, yaw, width, height = boxes.unbind(-1)
    dx, dy, sin, cos = targets[..., 0] - x, targets[..., 1] - y, yaw.sin(), yaw.cos()
    period = 2 * math.pi if has_heading else math.pi
    turn = torch.remainder(targets[..., 2] - yaw + period / 2, period) - period / 2
    log_scales = (targets[..., 3:] / boxes[..., 3:]).log()
    shifts = (dx * cos - dy * sin) / width, (dx * sin + dy * cos) / height
    return torch.stack([*shifts, turn, *log_scales.unbind(-1)], -1)


def box_corners(boxes: Tensor) -> Tensor:
    """Corners ``(B, 4, 2)`` of boxes ``(B, 5)`` in the order of ``RotatedBox.corners``; differentiable."""
    x, y, yaw, width, height = boxes[:, :, None].unbind(1)  # each (B, 1)
    u = width * boxes.new_tensor([-0.5, 0.5, 0.5, -0.5])
    v = height * boxes.new_tensor([0.5, 0.5, -0.5, -0.5])
    sin, cos = yaw.sin(), yaw.cos()
    return torch.stack([x + u * cos + v * sin, y - u * sin + v * cos], -1)
