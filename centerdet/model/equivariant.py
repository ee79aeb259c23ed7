"""Equivariant layers: a flipped or quarter-turned input gives the flipped or quarter-turned output.

A feature map holds *fields* of eight channels, one per element of the group of flips and quarter turns (``dihedral``):
channel = field * 8 + element. The eight channels of a field apply the same filter in its eight orientations. So each
weight learns from all eight views of every image.

image --``LiftingConv``--> fields --``GroupConv``, ``GroupBatchNorm``--> fields --``EquivariantHead`` (``head``)--> maps

Cohen & Welling, "Group Equivariant Convolutional Networks", arXiv 1602.07576 (their p4m).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d, one_hot

from centerdet import distributed
from centerdet.model.dihedral import ORDER, kernel_index, transform

MOMENTUM = 0.1  # weight of a new batch in the running statistics; the default of torch's batch norm
EPSILON = 1e-5  # added to the variance before the division; the default of torch's batch norm


class LiftingConv(nn.Module):
    """Convolution from image channels to fields, with a kernel of ``3 stride x 3 stride`` pixels.

    Args:
        in_channels: Channels of the image.
        out_channels: Channels of the output, a multiple of 8.
        stride: Pixels per output cell.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__()
        self.stride, self.kernel_size = stride, 3 * stride
        shape = (out_channels // ORDER, in_channels, self.kernel_size, self.kernel_size)
        self.weight = nn.Parameter(torch.randn(shape).mul_(_he_std(in_channels, self.kernel_size)))

    def kernel(self) -> Tensor:
        """Returns the kernel in all orientations, ``(out_channels, in_channels, 3 stride, 3 stride)``."""
        return torch.stack([transform(self.weight, element) for element in range(ORDER)], dim=1).flatten(0, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Maps ``(B, in_channels, H, W)``, H and W multiples of the stride, to ``(B, out_channels, h, w)``."""
        return conv2d(image, _channels_last(self.kernel()), stride=self.stride, padding=self.stride)

    def to_conv(self) -> nn.Conv2d:
        """Returns an ordinary convolution that computes the same, for inference."""
        return to_plain_conv(self.kernel(), None, stride=self.stride, padding=self.stride)


class GroupConv(nn.Module):
    """Convolution from fields to fields.

    Args:
        in_channels: Channels of the input, a multiple of 8.
        out_channels: Channels of the output, a multiple of 8.
        kernel_size: Side of the kernel in cells. An odd kernel keeps the resolution; 2 halves it, without overlap.
        bias: Whether to add one number per field.
    """

    places: Tensor

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, bias: bool = False) -> None:
        super().__init__()
        self.in_fields, self.out_fields, self.kernel_size = in_channels // ORDER, out_channels // ORDER, kernel_size
        self.stride, self.padding = (1, kernel_size // 2) if kernel_size % 2 else (2, 0)
        shape = (self.out_fields, in_channels * kernel_size**2)  # a matrix, as the optimiser Muon needs
        self.weight = nn.Parameter(torch.randn(shape).mul_(_he_std(in_channels, kernel_size)))
        self.bias = nn.Parameter(torch.zeros(self.out_fields)) if bias else None
        # Where each weight goes, as a matrix of 0 and 1. A matrix product is exact here, and unlike that of indexing,
        # its gradient is the same in every run.
        with torch.device("cpu"):  # also while a network without memory is made, on the device "meta"
            places = one_hot(kernel_index(kernel_size).flatten(), ORDER * kernel_size**2).T.float()
        self.register_buffer("places", places.to(self.weight.device), persistent=False)

    def kernel(self) -> Tensor:
        """Returns the kernel in all orientations, ``(out_channels, in_channels, kernel_size, kernel_size)``."""
        k = self.kernel_size
        views = self.weight.view(self.out_fields * self.in_fields, -1) @ self.places  # (out * in, 8 * 8 * k * k)
        views = views.view(self.out_fields, self.in_fields, ORDER, ORDER, k, k)  # (out, in, 8 out, 8 in, k, k)
        return views.transpose(1, 2).reshape(self.out_fields * ORDER, self.in_fields * ORDER, k, k)

    def forward(self, features: Tensor) -> Tensor:
        """Maps ``(B, in_channels, h, w)`` to ``(B, out_channels, h, w)``, or to half as many rows and columns."""
        kernel = _channels_last(self.kernel())
        return conv2d(features, kernel, self._channel_bias(), stride=self.stride, padding=self.padding)

    def to_conv(self) -> nn.Conv2d:
        """Returns an ordinary convolution that computes the same, for inference."""
        return to_plain_conv(self.kernel(), self._channel_bias(), stride=self.stride, padding=self.padding)

    def _channel_bias(self) -> Tensor | None:
        return None if self.bias is None else per_channel(self.bias)


class GroupBatchNorm(nn.Module):
    """Batch norm with one scale and one shift per field: ``(B, channels, h, w)`` to the same shape.

    A batch is never exactly symmetric. So in training, each of a field's eight channels has its own statistics; in
    evaluation the eight share their mean. Processes that share a batch normalise by the statistics of the whole batch.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels // ORDER))
        self.bias = nn.Parameter(torch.zeros(channels // ORDER))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, features: Tensor) -> Tensor:
        """Normalises by the batch's statistics in training, by the running ones in evaluation."""
        scale, shift = per_channel(self.weight), per_channel(self.bias)
        if self.training and distributed.world_size() > 1:
            return self._normalise_shared_batch(features, scale, shift)
        mean, variance = self.running_mean, self.running_var
        if not self.training:
            mean, variance = _field_mean(mean), _field_mean(variance)
        return batch_norm(features, mean, variance, scale, shift, self.training, MOMENTUM, EPSILON)

    def _normalise_shared_batch(self, features: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Does what ``batch_norm`` does, for a batch of which each process has an equal share.

        As the shares are equal, the moments of the batch are the means of their moments.
        """
        values = features.float()
        moments = distributed.all_reduce_mean(torch.stack([values.mean((0, 2, 3)), values.square().mean((0, 2, 3))]))
        mean, variance = moments[0], (moments[1] - moments[0].square()).clamp(min=0)  # each (channels,)
        with torch.no_grad():
            count = features[:, 0].numel() * distributed.world_size()
            self.running_mean.lerp_(mean, MOMENTUM)
            self.running_var.lerp_(variance * (count / (count - 1)), MOMENTUM)  # unbiased, as torch's
        factor = scale * (variance + EPSILON).rsqrt()
        return (values * factor[:, None, None] + (shift - mean * factor)[:, None, None]).to(features.dtype)

    def to_batch_norm(self) -> nn.BatchNorm2d:
        """Returns an ordinary batch norm that computes the same in evaluation, for inference."""
        norm = nn.BatchNorm2d(len(self.running_mean), eps=EPSILON)
        mean, variance = _field_mean(self.running_mean), _field_mean(self.running_var)
        values = {"running_mean": mean, "running_var": variance, "num_batches_tracked": norm.num_batches_tracked}
        norm.load_state_dict({"weight": per_channel(self.weight), "bias": per_channel(self.bias), **values})
        return norm.to(mean.device).eval()


def _he_std(in_channels: int, kernel_size: int) -> float:
    """Returns the standard deviation of initial weights before a ReLU: He et al., arXiv 1502.01852, eq. 10."""
    return math.sqrt(2 / (in_channels * kernel_size**2))


def per_channel(values: Tensor) -> Tensor:
    """Repeats one value per field ``(fields, ...)`` to one per channel ``(8 * fields, ...)``."""
    return values.repeat_interleave(ORDER, dim=0)


def _field_mean(values: Tensor) -> Tensor:
    """Replaces each of ``(channels,)`` values by the mean of its field."""
    return per_channel(values.view(-1, ORDER).mean(1))


def _channels_last(kernel: Tensor) -> Tensor:
    return kernel.contiguous(memory_format=torch.channels_last)


def to_plain_conv(kernel: Tensor, bias: Tensor | None, *, stride: int = 1, padding: int = 0) -> nn.Conv2d:
    """Makes an ordinary convolution of a kernel ``(out, in, k, k)`` and a bias ``(out,)``."""
    out_channels, in_channels, kernel_size, _ = kernel.shape
    layer = nn.Conv2d(in_channels, out_channels, kernel_size, stride=stride, padding=padding, bias=bias is not None)
    layer.load_state_dict({"weight": kernel} if bias is None else {"weight": kernel, "bias": bias})
    return layer.to(kernel.device)
