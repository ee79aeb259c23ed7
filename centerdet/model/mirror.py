"""Layers that are equivariant to the mirror across the last axis (left and right of a patch).

The channels are two halves: the second half of a mirrored picture is the mirrored first half of the picture itself.
Weights are shared between the halves, so every patch also teaches its mirror image.

Cohen & Welling, "Group Equivariant Convolutional Networks", arXiv 1602.07576, for the group of one mirror.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d


class MirrorConv(nn.Module):
    """Convolution without bias whose output halves are each other's mirror images.

    Args:
        in_channels: Of the input: a pair of halves, or (``lift``) the channels of a plain picture.
        out_channels: An even number.
        kernel_size: Rows and columns.
        stride: In both directions.
        padding: In both directions.
        lift: Whether the input is a plain picture.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int],
        *,
        stride: int = 1,
        padding: int = 0,
        lift: bool = False,
    ) -> None:
        super().__init__()
        self.stride, self.padding, self.lift = stride, padding, lift
        self.shape = (out_channels // 2, in_channels, *kernel_size)
        fan_in = in_channels * math.prod(kernel_size)
        # A matrix, for Muon; its scale is that of He et al., arXiv 1502.01852.
        self.weight = nn.Parameter(torch.randn(out_channels // 2, fan_in).mul_(math.sqrt(2 / fan_in)))

    def kernels(self) -> Tensor:
        """Kernels of the ordinary convolution that this one is: ``(out, in, rows, columns)``."""
        kernels = self.weight.view(self.shape)
        mirrored = kernels.flip(-1)
        if not self.lift:
            mirrored = mirrored.roll(self.shape[1] // 2, 1)  # the halves change places
        return torch.cat([kernels, mirrored])

    def forward(self, features: Tensor) -> Tensor:
        """``(B, in, h, w)`` -> ``(B, out, h', w')``."""
        return conv2d(features, self.kernels(), stride=self.stride, padding=self.padding)

    def to_conv(self) -> nn.Conv2d:
        """The same as an ordinary convolution, for inference."""
        kernels = self.kernels().detach()
        count, inputs, rows, columns = kernels.shape
        convolution = nn.Conv2d(inputs, count, (rows, columns), stride=self.stride, padding=self.padding, bias=False)
        convolution.weight.data.copy_(kernels)
        return convolution


class MirrorBatchNorm(nn.BatchNorm2d):
    """Batch norm with one statistic for both halves of the channels: ``(B, C, h, w)`` -> the same."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels // 2)

    def forward(self, features: Tensor) -> Tensor:
        """Normalises over images, positions and halves."""
        halves = features.reshape(2 * len(features), self.num_features, *features.shape[2:])
        return super().forward(halves).view_as(features)

    def to_batch_norm(self) -> nn.BatchNorm2d:
        """The same as an ordinary batch norm, for inference."""
        norm = nn.BatchNorm2d(2 * self.num_features, eps=self.eps).eval()
        for name in ("weight", "bias", "running_mean", "running_var"):
            getattr(norm, name).data.copy_(getattr(self, name).detach().repeat(2))
        return norm
