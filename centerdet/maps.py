"""The typed tuples that cross module borders.

Maps have ``h = ceil(H / stride)`` rows and ``w = ceil(W / stride)`` columns; see ``codec`` for what a cell means.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

MIN_SIDE = 64  # px: the smallest side of an image that the library works on


class Batch(NamedTuple):
    """Images and their labels, what a source of training data yields.

    Attributes:
        images: ``(B, 1, H, W)`` float in [0, 1].
        boxes: ``(B, 5)`` float ``(x, y, yaw, width, height)``; rows without an object hold zeros.
        present: ``(B,)`` bool, whether the image has an object.
    """

    images: Tensor
    boxes: Tensor
    present: Tensor


class Prediction(NamedTuple):
    """What the network says. ``center`` holds LOGITS, never probabilities.

    Attributes:
        center: ``(B, 1, h, w)`` logits of the centre heatmap.
        size: ``(B, 2, h, w)`` width and height, in units of the codec's ``size_unit``.
        yaw: ``(B, 2, h, w)`` sin and cos of the yaw, not normalised.
        offset: ``(B, 2, h, w)`` x and y from the cell's centre to the object's, in cells.
    """

    center: Tensor
    size: Tensor
    yaw: Tensor
    offset: Tensor


class Target(NamedTuple):
    """What the network should have said. ``heatmap`` holds PROBABILITIES, never logits.

    Attributes:
        heatmap: ``(B, 1, h, w)`` Gaussian around the centre in [0, 1], exactly 1 in the centre's cell.
        size: ``(B, 2, h, w)`` as in ``Prediction``.
        yaw: ``(B, 2, h, w)`` as in ``Prediction``.
        offset: ``(B, 2, h, w)`` as in ``Prediction``.
        mask: ``(B, 1, h, w)`` bool, true in the one cell that holds the centre, nowhere without an object.
    """

    heatmap: Tensor
    size: Tensor
    yaw: Tensor
    offset: Tensor
    mask: Tensor
