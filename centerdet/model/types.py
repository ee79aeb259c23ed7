"""The named tuples of tensors that rooms exchange: ``Batch``, ``Prediction`` and ``Target``.

Maps have ``h = ceil(H / stride)`` rows and ``w = ceil(W / stride)`` columns; see ``codec`` for where their cells lie.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """Images and their labels, as sources of training data yield them.

    Attributes:
        images: ``(B, 1, H, W)`` float in [0, 1].
        boxes: ``(B, 5)`` float ``(x, y, yaw, width, height)`` in px and rad; rows without an object hold zeros.
        has_object: ``(B,)`` bool, whether each image shows an object.
    """

    images: Tensor
    boxes: Tensor
    has_object: Tensor


def check_batch(batch: Batch) -> None:
    """Checks shapes, types and values of a batch, since batches of own images easily have others.

    Raises:
        ValueError: If shapes, types or values are not those of ``Batch``.
    """
    images, boxes, has_object = batch
    count = len(images)
    if images.ndim != 4 or images.shape[1] != 1 or boxes.shape != (count, 5) or has_object.shape != (count,):
        shapes = ", ".join(str(tuple(part.shape)) for part in batch)
        raise ValueError(f"a batch is images (B, 1, H, W), boxes (B, 5), has_object (B,); got shapes {shapes}")
    if not images.is_floating_point() or has_object.dtype != torch.bool:
        raise ValueError(
            f"images must be floats and has_object bool, got {images.dtype} and {has_object.dtype}; convert them"
        )
    low, high = images.min().item(), images.max().item()
    if not (low >= 0 and high <= 1):
        raise ValueError(f"images must lie in [0, 1], got {low:g} to {high:g}; rescale them")
    if not torch.isfinite(boxes[has_object]).all() or not (boxes[has_object][:, 3:] > 0).all():
        raise ValueError("boxes must be finite with sizes above 0 wherever has_object is true; correct the labels")


class Prediction(NamedTuple):
    """Maps that the network predicts. ``center`` holds LOGITS, never probabilities.

    Attributes:
        center: ``(B, 1, h, w)`` logits of the centre heatmap.
        size: ``(B, 2, h, w)`` width and height, in units of the codec's ``size_unit``.
        yaw: ``(B, 2, h, w)`` sin and cos of the yaw (without a heading: of twice the yaw), not normalised.
        offset: ``(B, 2, h, w)`` x and y from the cell's centre to the object's, in cells.
    """

    center: Tensor
    size: Tensor
    yaw: Tensor
    offset: Tensor


class Target(NamedTuple):
    """Maps that a perfect network would predict. ``heatmap`` holds PROBABILITIES, never logits.

    Attributes:
        heatmap: ``(B, 1, h, w)`` Gaussian around the object's centre in [0, 1], exactly 1 in the centre's cell.
        size: ``(B, 2, h, w)`` as in ``Prediction``.
        yaw: ``(B, 2, h, w)`` as in ``Prediction``.
        offset: ``(B, 2, h, w)`` as in ``Prediction``.
        mask: ``(B, 1, h, w)`` bool, true only in the cell that holds the object's centre.
    """

    heatmap: Tensor
    size: Tensor
    yaw: Tensor
    offset: Tensor
    mask: Tensor
