"""Layers that know that a flipped or quarter-turned image shows flipped or quarter-turned objects.

The eight flips and quarter turns of a square are the dihedral group D4. A feature map holds *fields* of eight channels,
one per element of the group (channel = field * 8 + element): the same filter, turned and mirrored in all eight ways. So
each weight learns from all eight views of every image, and the network's answer moves with its image.

image --``LiftingConv``--> fields --``GroupConv``, ``GroupBatchNorm``--> fields --``EquivariantHead``--> scalars and vectors

Cohen & Welling, "Group Equivariant Convolutional Networks", arXiv 1602.07576 (their p4m).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d

from centerdet import distributed

ORDER = 8


def transform(array: Tensor, element: int) -> Tensor:
    """Moves an array ``(..., k, k)`` by an element of the group: 0..3 quarter turns, 4..7 mirrored before turning.

    Turns are counter-clockwise on the screen, as ``torch.rot90`` with the rows pointing down.
    """
    if not 0 <= element < ORDER:
        raise ValueError(f"element must lie in 0..{ORDER - 1}, got {element}")
    return torch.rot90(array.flip(-1) if element >= 4 else array, element % 4, (-2, -1))


def matrices() -> Tensor:
    """What each element does to a vector (x to the right, y down): ``(8, 2, 2)``."""
    right, down = torch.zeros(3, 3), torch.zeros(3, 3)
    right[1, 2] = down[2, 1] = 1
    axis = torch.tensor([-1.0, 0.0, 1.0])
    columns = [
        torch.stack([transform(unit, element).sum(0) @ axis, transform(unit, element).sum(1) @ axis])
        for element in range(ORDER)
        for unit in (right, down)
    ]
    return torch.stack(columns).view(ORDER, 2, 2).transpose(1, 2)


def axis_matrices() -> Tensor:
    """What each element does to (sin 2a, cos 2a), a the angle of a direction (sin a, cos a): ``(8, 2, 2)``.

    With (x, y) = (sin a, cos a): sin 2a = 2 x y and cos 2a = y^2 - x^2. Swapping x and y turns the sign of the second,
    mirroring one of them that of the first.
    """
    table = matrices()
    signs = torch.stack([table.sum(2).prod(1), table[:, 0, 0].abs() - table[:, 0, 1].abs()], dim=1)
    return torch.diag_embed(signs)


def kernel_index(kernel_size: int) -> Tensor:
    """Where the kernels of a group convolution come from: ``(8 out, 8 in, k, k)`` indices into ``(8 * k * k)`` weights.

    The kernel from element h to element g is the one from ``g^-1 h`` to the identity, moved by g.
    """
    table = matrices()
    weights = torch.arange(ORDER * kernel_size * kernel_size).view(ORDER, kernel_size, kernel_size)
    rows = []
    for element in range(ORDER):
        relative = table[element].T @ table  # (8, 2, 2): g^-1 h for every h
        source = [int((table == matrix).all(-1).all(-1).nonzero()) for matrix in relative]
        rows.append(torch.stack([transform(weights[index], element) for index in source]))
    return torch.stack(rows)


class LiftingConv(nn.Module):
    """Image channels to fields: a ``3 stride x 3 stride`` kernel, moved by ``stride`` pixels, in all eight views.

    Args:
        in_channels: Channels of the image.
        out_channels: Channels, a multiple of 8.
        stride: Pixels per output cell.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__()
        self.stride = stride
        kernel_size = 3 * stride
        scale = math.sqrt(2 / (in_channels * kernel_size**2))  # He et al., arXiv 1502.01852, here and below
        self.weight = nn.Parameter(torch.randn(out_channels // ORDER, in_channels, kernel_size, kernel_size) * scale)

    def kernel(self) -> Tensor:
        """``(out_channels, in_channels, 3 stride, 3 stride)``."""
        return torch.stack([transform(self.weight, element) for element in range(ORDER)], dim=1).flatten(0, 1)

    def forward(self, image: Tensor) -> Tensor:
        """``(B, in_channels, H, W)``, multiples of the stride -> ``(B, out_channels, H / stride, W / stride)``."""
        return conv2d(image, _channels_last(self.kernel()), stride=self.stride, padding=self.stride)

    def to_conv(self) -> nn.Conv2d:
        """The same as an ordinary convolution, for inference."""
        return _plain(self.kernel(), None, stride=self.stride, padding=self.stride)


class GroupConv(nn.Module):
    """Fields to fields.

    Args:
        in_channels: Channels, a multiple of 8.
        out_channels: Channels, a multiple of 8.
        kernel_size: Of the kernel. An odd one keeps the resolution; 2 halves it, without overlap.
        bias: Whether to add one number per field.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, bias: bool = False) -> None:
        super().__init__()
        self.stride, self.padding = (1, kernel_size // 2) if kernel_size % 2 else (2, 0)
        self.shape = (out_channels // ORDER, in_channels // ORDER, kernel_size)
        scale = math.sqrt(2 / (in_channels * kernel_size**2))
        self.weight = nn.Parameter(
            torch.randn(out_channels // ORDER, in_channels * kernel_size**2) * scale
        )  # a matrix, for Muon
        self.bias = nn.Parameter(torch.zeros(out_channels // ORDER)) if bias else None
        # Which weight goes where, as a matrix of 0 and 1: a product is exact, and its gradient the same in every run.
        places = torch.nn.functional.one_hot(kernel_index(kernel_size).flatten(), ORDER * kernel_size**2).T.float()
        self.register_buffer("places", places, persistent=False)

    def kernel(self) -> Tensor:
        """``(out_channels, in_channels, kernel_size, kernel_size)``."""
        out_channels, in_channels, kernel_size = self.shape
        views = self.weight.view(out_channels * in_channels, -1) @ self.places  # every weight, eight times
        views = views.view(out_channels, in_channels, ORDER, ORDER, kernel_size, kernel_size).transpose(
            1, 2
        )  # (out, 8, in, 8, k, k)
        return views.reshape(out_channels * ORDER, in_channels * ORDER, kernel_size, kernel_size)

    def forward(self, features: Tensor) -> Tensor:
        """``(B, in_channels, h, w)`` -> ``(B, out_channels, h, w)``, or half the cells a side."""
        kernel = _channels_last(self.kernel())
        return conv2d(features, kernel, _per_channel(self.bias), stride=self.stride, padding=self.padding)

    def to_conv(self) -> nn.Conv2d:
        """The same as an ordinary convolution, for inference."""
        return _plain(self.kernel(), _per_channel(self.bias), stride=self.stride, padding=self.padding)


class GroupBatchNorm(nn.Module):
    """Batch norm with one scale and one shift per field. ``(B, width, h, w)`` -> the same.

    A batch is never quite as symmetric as the law it comes from: while training, each of a field's eight channels has
    its own statistics; afterwards they share their mean. The statistics are those of the whole batch, where several
    processes share one.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width // ORDER)), nn.Parameter(torch.zeros(width // ORDER))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, features: Tensor) -> Tensor:
        """Normalises by the batch, or by the running statistics where the module is not being trained."""
        scale, shift = _per_channel(self.weight), _per_channel(self.bias)
        if self.training and distributed.world_size() > 1:
            return self._normalise_together(features, scale, shift)
        if self.training:
            return batch_norm(features, self.running_mean, self.running_var, scale, shift, training=True)
        return batch_norm(features, _orbit_mean(self.running_mean), _orbit_mean(self.running_var), scale, shift)

    def _normalise_together(self, features: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """As ``batch_norm``: the processes' shares are equal, so that the batch's moments are the means of theirs."""
        values = features.float()
        moments = distributed.all_reduce_mean(torch.stack([values.mean((0, 2, 3)), values.square().mean((0, 2, 3))]))
        mean, variance = moments[0], (moments[1] - moments[0].square()).clamp(min=0)
        with torch.no_grad():
            size = features[:, 0].numel() * distributed.world_size()
            self.running_mean.lerp_(mean, 0.1)
            self.running_var.lerp_(variance * (size / (size - 1)), 0.1)
        factor = scale * (variance + 1e-5).rsqrt()
        return (values * factor[:, None, None] + (shift - mean * factor)[:, None, None]).to(features.dtype)

    def to_conv(self) -> nn.BatchNorm2d:
        """The same as an ordinary batch norm, for inference."""
        norm = nn.BatchNorm2d(len(self.running_mean))
        mean, variance = _orbit_mean(self.running_mean), _orbit_mean(self.running_var)
        values = {"running_mean": mean, "running_var": variance, "num_batches_tracked": norm.num_batches_tracked}
        norm.load_state_dict({"weight": _per_channel(self.weight), "bias": _per_channel(self.bias), **values})
        return norm.to(mean.device).eval()


class EquivariantHead(nn.Module):
    """Fields to scalars, which no turn changes, and to vectors, which turn with the image: a 1x1 convolution.

    Args:
        in_channels: Channels, a multiple of 8.
        scalars: How many scalar maps.
        vectors: What each pair of further maps is: ``vector``, x and y; or ``axis``, sin and cos of twice the angle
            from the y axis, for what is the same after half a turn.
    """

    def __init__(self, in_channels: int, *, scalars: int, vectors: Sequence[Literal["vector", "axis"]]) -> None:
        super().__init__()
        self.scalars = nn.Parameter(
            torch.randn(scalars, in_channels // ORDER) * (0.01 / ORDER)
        )  # each adds up 8 channels
        self.vectors = nn.Parameter(torch.randn(len(vectors), in_channels // ORDER, 2) * 0.01)
        self.bias = nn.Parameter(torch.zeros(scalars))
        actions = {"vector": matrices(), "axis": axis_matrices()}
        self.register_buffer("matrices", torch.stack([actions[kind] for kind in vectors]), persistent=False)

    def kernel(self) -> Tensor:
        """``(scalars + 2 * vectors, in_channels, 1, 1)``."""
        scalars = _per_channel(self.scalars.T).T
        vectors = torch.einsum("vgij,vfj->vifg", self.matrices, self.vectors).flatten(2).flatten(0, 1)
        return torch.cat([scalars, vectors])[:, :, None, None]

    def forward(self, features: Tensor) -> Tensor:
        """``(B, in_channels, h, w)`` -> ``(B, scalars + 2 * vectors, h, w)``: the scalars, then x and y of each vector."""
        return conv2d(features, self.kernel(), self._full_bias())

    def to_conv(self) -> nn.Conv2d:
        """The same as an ordinary convolution, for inference."""
        return _plain(self.kernel(), self._full_bias())

    def _full_bias(self) -> Tensor:
        return torch.cat([self.bias, self.bias.new_zeros(2 * len(self.vectors))])  # a fixed vector turns with nothing


def _per_channel(values: Tensor | None) -> Tensor | None:
    """One value per field to one per channel."""
    return None if values is None else values.repeat_interleave(ORDER, dim=0)


def _orbit_mean(values: Tensor) -> Tensor:
    return values.view(-1, ORDER).mean(1).repeat_interleave(ORDER)


def _channels_last(kernel: Tensor) -> Tensor:
    return kernel.contiguous(memory_format=torch.channels_last)


def _plain(kernel: Tensor, bias: Tensor | None, *, stride: int = 1, padding: int = 0) -> nn.Conv2d:
    out_channels, in_channels, kernel_size, _ = kernel.shape
    layer = nn.Conv2d(in_channels, out_channels, kernel_size, stride=stride, padding=padding, bias=bias is not None)
    layer.load_state_dict({"weight": kernel} if bias is None else {"weight": kernel, "bias": bias})
    return layer.to(kernel.device)
