"""The head: from the fields of an equivariant network to maps of scalars and vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from centerdet.model.dihedral import ORDER, axis_matrices, matrices
from centerdet.model.equivariant import per_channel, to_plain_conv

WEIGHT_STD = 0.01  # deviation of the initial weights: Lin et al., "Focal Loss", arXiv 1708.02002, section 4.1

VectorKind = Literal["vector", "axis"]


class EquivariantHead(nn.Module):
    """1x1 convolution from fields to scalars, which no element of the group changes, and vectors, which turn along.

    Args:
        in_channels: Channels of the input, a multiple of 8.
        scalars: Number of scalar maps.
        vectors: Kind of each pair of further maps: ``vector`` for x and y; ``axis`` for sin and cos of twice the angle
            from the y axis, for directions that are the same after half a turn.
    """

    matrices: Tensor

    def __init__(self, in_channels: int, *, scalars: int, vectors: Sequence[VectorKind]) -> None:
        super().__init__()
        fields = in_channels // ORDER
        self.scalars = nn.Parameter(torch.randn(scalars, fields).mul_(WEIGHT_STD / ORDER))  # each adds up 8 channels
        self.vectors = nn.Parameter(torch.randn(len(vectors), fields, 2).mul_(WEIGHT_STD))
        self.bias = nn.Parameter(torch.zeros(scalars))
        with torch.device("cpu"):  # as in ``GroupConv``
            actions = {"vector": matrices(), "axis": axis_matrices()}
            chosen = torch.stack([actions[kind] for kind in vectors])
        self.register_buffer("matrices", chosen.to(self.scalars.device), persistent=False)

    def kernel(self) -> Tensor:
        """Returns the kernel, ``(scalars + 2 * vectors, in_channels, 1, 1)``."""
        scalars = per_channel(self.scalars.T).T  # (scalars, in_channels)
        vectors = torch.einsum("vgij,vfj->vifg", self.matrices, self.vectors)  # (vectors, 2, fields, 8)
        return torch.cat([scalars, vectors.flatten(2).flatten(0, 1)])[:, :, None, None]

    def forward(self, features: Tensor) -> Tensor:
        """Maps ``(B, in_channels, h, w)`` to ``(B, scalars + 2 * vectors, h, w)``: scalars, then pairs of vectors."""
        return conv2d(features, self.kernel(), self._map_bias())

    def to_conv(self) -> nn.Conv2d:
        """Returns an ordinary convolution that computes the same, for inference."""
        return to_plain_conv(self.kernel(), self._map_bias())

    def _map_bias(self) -> Tensor:
        """Returns ``(scalars + 2 * vectors,)``: vectors have no bias, since a fixed vector does not turn along."""
        return torch.cat([self.bias, self.bias.new_zeros(2 * len(self.vectors))])
