"""The network: a small U-Net with additive skips (an hourglass), from an image to a ``Prediction``.

image ``(B, 1, H, W)`` -> evidence channels -> a strided convolution -> residual blocks, halved twice and brought back
up -> 1x1 heads at 1/stride of the image. Every size works: padding happens inside. All layers are those
of ``symmetry``: the maps of a flipped or quarter-turned image are the flipped or turned maps, exactly where no side
needs padding on one side alone (multiples of 2 x stride), nearly elsewhere.

Newell et al., "Stacked Hourglass Networks", arXiv 1603.06937; He et al., "Deep Residual Learning", arXiv 1512.03385.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad
from torch.nn.utils.fusion import fuse_conv_bn_eval

from centerdet.model.equivariant import ORDER, EquivariantHead, GroupBatchNorm, GroupConv, LiftingConv
from centerdet.model.types import Prediction


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """Settings of the network; they are stored with the weights.

    Attributes:
        stride: Pixels per output cell, a power of two.
        channels: Channels at each level, multiples of 8, finest first; every further level halves the resolution.
        num_blocks: Residual blocks at each level on the way down. On the way up each level has one.
        noise_level: What the background never exceeds. With it the network sees each pixel's evidence (see
            ``CenterNet.evidence``); ``None``: unknown, it sees the pixels alone.
        heatmap_prior: What the heatmap of an untrained network is everywhere.
        has_heading: Whether the yaw tells nose from tail; if not, the yaw maps are sin and cos of twice the yaw.
    """

    stride: int = 4
    channels: tuple[int, ...] = (48, 64, 96)
    num_blocks: tuple[int, ...] = (1, 2, 2)
    noise_level: float | None = 0.8
    heatmap_prior: float = 0.01
    has_heading: bool = True

    def __post_init__(self) -> None:
        if self.stride not in (1, 2, 4, 8):
            raise ValueError(f"stride must be 1, 2, 4 or 8, got {self.stride}")
        if (
            not self.channels
            or len(self.channels) != len(self.num_blocks)
            or min(self.channels) < 1
            or min(self.num_blocks) < 0
        ):
            raise ValueError(f"widths and blocks need a number per level, of at least 1 and 0 each, got {self}")
        if any(width % ORDER for width in self.channels):
            raise ValueError(f"widths must be multiples of {ORDER}, one channel per flip and turn, got {self.channels}")
        if not 0 < self.heatmap_prior < 1:
            raise ValueError(f"prior must lie in (0, 1), got {self.heatmap_prior}")
        if self.noise_level is not None and not 0 < self.noise_level <= 1:
            raise ValueError(f"noise_level must lie in (0, 1] or be null, got {self.noise_level}")


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around an identity: ``(B, C, h, w)`` -> the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _activated(GroupConv(width, width, 3), width)
        self.second = nn.Sequential(GroupConv(width, width, 3), GroupBatchNorm(width))
        nn.init.zeros_(self.second[1].weight)  # each block starts as the identity

    def forward(self, features: Tensor) -> Tensor:
        """Adds to the features what two convolutions make of them."""
        return torch.relu(features + self.second(self.first(features)))


class CenterNet(nn.Module):
    """Image -> centre logits, sizes, sin/cos yaw and offsets. Zhou et al., arXiv 1904.07850.

    An object that looks the same after half a turn shows no heading, and a network of this kind will not make one up.

    Args:
        config: Widths, depth and input encoding.
    """

    def __init__(self, config: NetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or NetworkConfig()
        channels = config.channels
        in_channels = 1 if config.noise_level is None else 2
        self.stem = _activated(LiftingConv(in_channels, channels[0], stride=config.stride), channels[0])
        self.down = nn.ModuleList(_activated(GroupConv(a, b, 2), b) for a, b in pairwise(channels))
        self.encoder = nn.ModuleList(
            _blocks(width, count) for width, count in zip(channels, config.num_blocks, strict=True)
        )
        self.up = nn.ModuleList(GroupConv(b, a, 1, bias=True) for a, b in pairwise(channels))
        self.decoder = nn.ModuleList(ResidualBlock(width) for width in channels[:-1])
        yaw = "vector" if config.has_heading else "axis"
        self.heads = EquivariantHead(
            channels[0], scalars=3, vectors=(yaw, "vector")
        )  # centre, width, height; yaw, offset
        nn.init.constant_(self.heads.bias[0], math.log(config.heatmap_prior / (1 - config.heatmap_prior)))

    def forward(self, images: Tensor) -> Prediction:
        """Maps ``(B, 1, H, W)`` images in [0, 1] to maps of ``ceil(H / stride)`` by ``ceil(W / stride)`` cells."""
        top, bottom, rows = self._padding(images.shape[-2])
        left, right, columns = self._padding(images.shape[-1])
        # Padding comes after the evidence: 0 there means "nothing is known", as in a convolution's own padding.
        evidence = pad(self.evidence(images), (left, right, top, bottom))
        features = self.stem(evidence)  # (B, C, H / stride, W / stride)
        skips = []
        for blocks, down in zip(self.encoder, self.down, strict=False):
            skips.append(blocks(features))
            features = down(skips[-1])
        features = self.encoder[-1](features)
        for skip, up, block in zip(reversed(skips), reversed(self.up), reversed(self.decoder), strict=True):
            features = block(skip + interpolate(up(features), scale_factor=2.0, mode="nearest"))
        maps = self.heads(features)[:, :, rows, columns]
        center, size, yaw, offset = maps.split((1, 2, 2, 2), dim=1)  # the nose points to (sin yaw, cos yaw)
        return Prediction(center=center, size=size, yaw=yaw, offset=offset)

    def evidence(self, images: Tensor) -> Tensor:
        """What each pixel says for "object" against "background noise": ``(B, 1, H, W)`` -> ``(B, 1 or 2, H, W)``.

        The background is uniform in [0, n) with n = ``noise_level``; an object's pixel is uniform in [0, 1) before the
        maximum with the background. So a pixel above n is never background (first channel: 0 or 1), and below n the
        log-likelihood ratio is ``log(2 v / n)`` up to a constant (second channel, cut at -3 and halved).
        """
        level = self.config.noise_level
        if level is None:
            return images
        above = images > level
        ratio = (2 * images / level).clamp(min=math.exp(-3)).log().mul(0.5)
        return torch.cat([above.to(images.dtype), torch.where(above, 0.0, ratio)], dim=1)

    def _padding(self, side: int) -> tuple[int, int, slice]:
        """Pixels before and after an image's side, as even as whole cells allow, and the cells that are the image."""
        stride = self.config.stride
        cells = math.ceil(side / stride)
        missing = -cells % 2 ** len(self.down)
        before = missing // 2
        return before * stride, (cells + missing - before) * stride - side, slice(before, before + cells)


def fuse(network: CenterNet) -> CenterNet:
    """A copy for inference, made of ordinary convolutions with each batch norm folded in: the same maps, sooner."""
    fused = copy.deepcopy(network).eval()
    for name, layer in list(fused.named_modules()):
        parent = fused.get_submodule(name.rpartition(".")[0])
        if isinstance(layer, nn.Sequential) and isinstance(next(iter(layer), None), GroupConv | LiftingConv):
            layer[0], layer[1] = fuse_conv_bn_eval(layer[0].to_conv().eval(), layer[1].to_conv()), nn.Identity()
        elif isinstance(layer, GroupConv | EquivariantHead) and not isinstance(parent, nn.Sequential):
            parent.register_module(name.rpartition(".")[2], layer.to_conv())
    return fused.requires_grad_(False)


def _activated(convolution: GroupConv | LiftingConv, width: int) -> nn.Sequential:
    return nn.Sequential(convolution, GroupBatchNorm(width), nn.ReLU())


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(width) for _ in range(count)))
