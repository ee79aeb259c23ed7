"""Boxes to maps and maps to boxes: both directions side by side, so that they cannot disagree.

Cell ``[i, j]`` of a map covers ``stride x stride`` pixels; its centre is the pixel position
``x = j * stride + (stride - 1) / 2``, ``y = i * stride + (stride - 1) / 2`` (an integer is a pixel's centre).

Encode: a Gaussian around the box's centre, and at every cell the box's size, sin and cos of its yaw, and the way to
its centre. Decode: 1. sigmoid; 2. the highest cell (at most one object: no NMS); 3. sizes, sin, cos and centre averaged
over the ``decode_window x decode_window`` cells around it, weighted by the heatmap; 4. ``atan2``.

Method: Zhou et al., "Objects as Points", arXiv 1904.07850; the averaging around the peak is ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d

from centerdet.model.types import Prediction, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecConfig:
    """Settings of the codec; they are stored with the weights.

    Attributes:
        size_unit: Pixels that a size map's value of 1 stands for; about the objects' typical extent.
        sigma_ratio: Standard deviation of the Gaussian, in units of sqrt(width * height).
        min_sigma: Its lower bound, in cells.
        decode_window: Odd side, in cells, of the neighbourhood that decode averages over.
    """

    size_unit: float = 32.0
    sigma_ratio: float = 0.08
    min_sigma: float = 0.6
    decode_window: int = 3

    def __post_init__(self) -> None:
        if not all(0 < value < math.inf for value in (self.size_unit, self.sigma_ratio, self.min_sigma)):
            raise ValueError(f"size_unit, sigma_ratio and min_sigma must be finite and above 0, got {self}")
        if self.decode_window not in range(1, 100, 2):
            raise ValueError(f"window must be odd, from 1 to 99, got {self.decode_window}")


class Codec:
    """Turns boxes into a ``Target`` and a ``Prediction`` into boxes.

    Args:
        stride: Pixels per cell, the network's output stride.
        has_heading: Whether the yaw tells nose from tail, as the network's; if not, yaws are axes in (-pi/2, pi/2].
        config: Settings of the maps.
    """

    def __init__(self, *, stride: int = 4, has_heading: bool = True, config: CodecConfig | None = None) -> None:
        self.stride, self.has_heading, self.config = stride, has_heading, config or CodecConfig()

    def encode(self, boxes: Tensor, has_object: Tensor, image_size: tuple[int, int]) -> Target:
        """Draws the maps that a perfect network would give.

        Args:
            boxes: ``(B, 5)`` boxes in pixels and radians; rows without an object are ignored.
            has_object: ``(B,)`` bool.
            image_size: ``(H, W)`` of the images in pixels.
        """
        stride = self.stride
        rows, columns = (-(-side // stride) for side in image_size)
        boxes = torch.where(has_object[:, None], boxes.float(), 0.0)  # whatever stands there, NaN too
        x, y, yaw, width, height = boxes[:, :, None, None].unbind(1)  # each (B, 1, 1)
        cell_x = _cell_centers(columns, stride, boxes.device)  # (w,)
        cell_y = _cell_centers(rows, stride, boxes.device)[:, None]  # (h, 1)
        offset_x, offset_y = torch.broadcast_tensors((x - cell_x) / stride, (y - cell_y) / stride)  # each (B, h, w)
        sigma = (self.config.sigma_ratio * (width * height).sqrt() / stride).clamp(min=self.config.min_sigma)
        heatmap = torch.exp(-(offset_x**2 + offset_y**2) / (2 * sigma**2))

        # A Gaussian around a sub-pixel centre is nowhere exactly 1: pin the centre's cell, and say which it is.
        column = ((x - cell_x[0]) / stride).round().clamp(0, columns - 1)
        row = ((y - cell_y[0]) / stride).round().clamp(0, rows - 1)
        there = has_object[:, None, None]
        grid_x, grid_y = torch.arange(columns, device=boxes.device), torch.arange(rows, device=boxes.device)[:, None]
        mask = (grid_x == column) & (grid_y == row) & there  # (B, h, w)
        heatmap = torch.where(mask, 1.0, heatmap * there)

        shape, yaw = heatmap.shape, yaw * (1 if self.has_heading else 2)
        return Target(
            heatmap=heatmap[:, None],
            size=torch.stack([width.expand(shape), height.expand(shape)], 1) / self.config.size_unit,
            yaw=torch.stack([yaw.sin().expand(shape), yaw.cos().expand(shape)], 1),
            offset=torch.stack([offset_x, offset_y], 1),
            mask=mask[:, None],
        )

    def decode(self, prediction: Prediction) -> tuple[Tensor, Tensor]:
        """Reads the most likely box of each image, whatever its score.

        Returns:
            boxes ``(B, 5)`` in pixels and radians, yaw in (-pi, pi], and scores ``(B,)`` in [0, 1].
        """
        stride, radius = self.stride, self.config.decode_window // 2
        heatmap = prediction.center.float().sigmoid()  # (B, 1, h, w)
        rows, columns = heatmap.shape[-2:]
        scores, peak = heatmap.flatten(1).max(dim=1)  # each (B,)

        step = torch.arange(-radius, radius + 1, device=heatmap.device)
        row = (peak // columns)[:, None, None] + step[:, None]  # (B, k, 1)
        column = (peak % columns)[:, None, None] + step  # (B, 1, k)
        inside = ((row >= 0) & (row < rows) & (column >= 0) & (column < columns)).flatten(1)  # (B, k*k)
        row, column = row.clamp(0, rows - 1), column.clamp(0, columns - 1)
        index = (row * columns + column).flatten(1)  # (B, k*k)

        weight = heatmap.flatten(1).gather(1, index) * inside
        weight = weight / weight.sum(1, keepdim=True)
        maps = torch.cat([prediction.size, prediction.yaw, prediction.offset], 1).float().flatten(2)  # (B, 6, h*w)
        near = maps.gather(2, index[:, None].expand(-1, 6, -1))  # (B, 6, k*k)
        width, height, sin, cos, offset_x, offset_y = (near * weight[:, None]).sum(2).unbind(1)
        origin = (stride - 1) / 2
        x = ((index % columns) * weight).sum(1) * stride + origin + offset_x * stride
        y = ((index // columns) * weight).sum(1) * stride + origin + offset_y * stride
        # A raw network can say anything; a box has extents above zero.
        width, height = (side.mul(self.config.size_unit).clamp(min=1.0) for side in (width, height))
        return torch.stack([x, y, torch.atan2(sin, cos) / (1 if self.has_heading else 2), width, height], 1), scores

    def without_peak(self, prediction: Prediction) -> Prediction:
        """The same maps without the cells around each heatmap's highest one: ``decode`` then finds the next peak."""
        center = prediction.center
        highest = center == center.amax((2, 3), keepdim=True)
        around = max_pool2d(highest.float(), 5, stride=1, padding=2) > 0
        return prediction._replace(center=torch.where(around, -30.0, center))

    def heatmap(self, prediction: Prediction, image_size: tuple[int, int]) -> Tensor:
        """The centre heatmap as probabilities ``(B, H, W)``, aligned with images of ``image_size`` (H, W) pixels."""
        height, width = image_size
        heatmap = prediction.center.float().sigmoid()  # (B, 1, h, w)
        # With half-pixel centres, bilinear interpolation puts cell centres where ``decode`` says they are.
        heatmap = interpolate(heatmap, scale_factor=float(self.stride), mode="bilinear", align_corners=False)
        return heatmap[:, 0, :height, :width]


def _cell_centers(count: int, stride: int, device: torch.device) -> Tensor:
    return torch.arange(count, device=device, dtype=torch.float32) * stride + (stride - 1) / 2
