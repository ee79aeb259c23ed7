"""Patches in a box's own frame: the picture of an object, upright and of one size, however it lies in the image.

A patch has ``rows`` samples along the heading and ``columns`` across it. It spans ``margin`` times the box in both
directions: place, heading and size of an object in a fitting box do not change its patch. Samples are
interpolated between pixels (bilinear), and fall to 0 within one pixel outside the image: without a jump, so that
rounding of a box changes no sample by more than rounding.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import grid_sample


def patch_points(rows: int, columns: int, margin: float, device: torch.device | str = "cpu") -> Tensor:
    """Sample positions ``(2, rows * columns)``: u / width and v / height in the box's frame, symmetric around 0."""
    across = (torch.arange(columns, device=device) + 0.5) / columns - 0.5
    along = (torch.arange(rows, device=device) + 0.5) / rows - 0.5
    v, u = torch.meshgrid(along * margin, across * margin, indexing="ij")
    return torch.stack([u.flatten(), v.flatten()])


def sample_patches(encoded: Tensor, boxes: Tensor, points: Tensor, image_index: Tensor | None = None) -> Tensor:
    """Cuts patches out of images.

    Args:
        encoded: ``(B, C, H, W)`` images.
        boxes: ``(N, 5)`` px, rad.
        points: ``(2, P)`` of ``patch_points``.
        image_index: ``(N,)`` int64, the image of each box; ``None``: one box in each image.

    Returns:
        ``(N, C + 1, P)``: the interpolated channels, and a last one that is 1 inside the image and 0 outside, which is
        what they would make of an image of ones.
    """
    height, width = encoded.shape[2:]
    x, y, yaw, box_width, box_height = boxes[..., None].unbind(1)  # each (N, 1)
    sin, cos = yaw.sin(), yaw.cos()
    u, v = box_width * points[0], box_height * points[1]  # (N, P)
    column = (x + u * cos + v * sin) * (2 / (width - 1)) - 1  # from -1, the first pixel's centre, to 1, the last one's
    row = (y - u * sin + v * cos) * (2 / (height - 1)) - 1
    inside_x = (1 + (1 - column.abs()) * ((width - 1) / 2)).clamp(0, 1)
    inside_y = (1 + (1 - row.abs()) * ((height - 1) / 2)).clamp(0, 1)
    inside = (inside_x * inside_y).to(encoded.dtype)
    grid = torch.stack([column, row], -1)[:, None]  # (N, 1, P, 2)
    return torch.cat([_interpolate(encoded, grid, image_index)[:, :, 0], inside[:, None]], 1)


def _interpolate(encoded: Tensor, grid: Tensor, image_index: Tensor | None) -> Tensor:
    """Samples ``(N, C, 1, P)`` of the images ``image_index``; on a CPU without a copy of each whole image."""
    sample = partial(grid_sample, padding_mode="zeros", align_corners=True)
    if image_index is None:
        return sample(encoded, grid)
    if encoded.device.type != "cpu" or torch.compiler.is_exporting():
        return sample(encoded[image_index], grid)
    pairs = zip(image_index.tolist(), grid.split(1), strict=True)
    return torch.cat([sample(encoded[index : index + 1], one) for index, one in pairs])
