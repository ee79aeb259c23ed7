"""The network: a small U-Net with additive skips (an hourglass), from an image to a ``Prediction``.

image ``(B, 1, H, W)`` -> evidence channels -> pixel-unshuffle by the stride -> residual blocks, halved twice and
brought back up -> 1x1 heads at 1/stride of the image. Every size works: padding happens inside.

Newell et al., "Stacked Hourglass Networks", arXiv 1603.06937; He et al., "Deep Residual Learning", arXiv 1512.03385.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad, pixel_unshuffle
from torch.nn.utils.fusion import fuse_conv_bn_eval

from centerdet.maps import Prediction


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """Settings of the network; they are stored with the weights.

    Attributes:
        stride: Pixels per output cell, a power of two.
        widths: Channels at each level, finest first; every further level halves the resolution.
        blocks: Residual blocks at each level on the way down.
        noise_level: What the background never exceeds. With it the network sees each pixel's evidence (see
            ``CenterNet.evidence``); ``None``: unknown, it sees the pixels alone.
        prior: What the heatmap of an untrained network is everywhere.
    """

    stride: int = 4
    widths: tuple[int, ...] = (32, 64, 64)
    blocks: tuple[int, ...] = (1, 2, 2)
    noise_level: float | None = 0.8
    prior: float = 0.01

    def __post_init__(self) -> None:
        if self.stride not in (1, 2, 4, 8):
            raise ValueError(f"stride must be 1, 2, 4 or 8, got {self.stride}")
        if not self.widths or len(self.widths) != len(self.blocks) or min(*self.widths, *self.blocks) < 1:
            raise ValueError(f"widths and blocks need one number of at least 1 per level, got {self}")
        if not 0 < self.prior < 1:
            raise ValueError(f"prior must lie in (0, 1), got {self.prior}")
        if self.noise_level is not None and not 0 < self.noise_level <= 1:
            raise ValueError(f"noise_level must lie in (0, 1] or be null, got {self.noise_level}")


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around an identity: ``(B, C, h, w)`` -> the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _convolution(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, features: Tensor) -> Tensor:
        """Adds to the features what two convolutions make of them."""
        return torch.relu(features + self.second(self.first(features)))


class CenterNet(nn.Module):
    """Image -> centre logits, sizes, sin/cos yaw and offsets. Zhou et al., arXiv 1904.07850.

    Args:
        config: Widths, depth and input encoding.
    """

    def __init__(self, config: NetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or NetworkConfig()
        widths = config.widths
        channels = (1 if config.noise_level is None else 2) * config.stride**2
        self.stem = _convolution(channels, widths[0])
        self.down = nn.ModuleList(_convolution(a, b, stride=2) for a, b in pairwise(widths))
        self.encode = nn.ModuleList(_blocks(width, count) for width, count in zip(widths, config.blocks, strict=True))
        self.up = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(widths))
        self.refine = nn.ModuleList(ResidualBlock(width) for width in widths[:-1])
        self.center = nn.Conv2d(widths[0], 1, 1)
        self.boxes = nn.Conv2d(widths[0], 6, 1)
        self._initialise()

    def forward(self, images: Tensor) -> Prediction:
        """Maps ``(B, 1, H, W)`` images in [0, 1] to maps of ``ceil(H / stride)`` by ``ceil(W / stride)`` cells."""
        stride = self.config.stride
        height, width = images.shape[-2:]
        multiple = stride * 2 ** len(self.down)
        # Padding comes after the evidence: 0 there means "nothing is known", as in a convolution's own padding.
        evidence = pad(self.evidence(images), (0, -width % multiple, 0, -height % multiple))
        features = self.stem(pixel_unshuffle(evidence, stride))  # (B, C, H / stride, W / stride)
        skips = []
        for blocks, down in zip(self.encode, self.down, strict=False):
            skips.append(blocks(features))
            features = down(skips[-1])
        features = self.encode[-1](features)
        for skip, up, refine in zip(reversed(skips), reversed(self.up), reversed(self.refine), strict=True):
            features = refine(skip + interpolate(up(features), scale_factor=2.0, mode="nearest"))

        rows, columns = math.ceil(height / stride), math.ceil(width / stride)
        center = self.center(features)[:, :, :rows, :columns]
        size, yaw, offset = self.boxes(features)[:, :, :rows, :columns].split(2, dim=1)
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

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for block in self.modules():
            if isinstance(block, ResidualBlock):
                nn.init.zeros_(block.second[1].weight)  # each block starts as the identity
        for head in (self.center, self.boxes):
            nn.init.normal_(head.weight, std=0.01)
        nn.init.constant_(self.center.bias, math.log(self.config.prior / (1 - self.config.prior)))


def fuse(network: CenterNet) -> CenterNet:
    """A copy for inference, with each batch norm folded into the convolution before it: the same maps, sooner."""
    fused = copy.deepcopy(network).eval()
    for layers in fused.modules():
        if isinstance(layers, nn.Sequential):
            for index, (first, second) in enumerate(pairwise(list(layers))):
                if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                    layers[index], layers[index + 1] = fuse_conv_bn_eval(first, second), nn.Identity()
    return fused.requires_grad_(False)


def _convolution(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(width) for _ in range(count)))
