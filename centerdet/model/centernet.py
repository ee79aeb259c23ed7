"""The network, a small U-Net with additive skips (an hourglass): image in, ``Prediction`` out.

image ``(B, 1, H, W)`` -> log-likelihood ratios -> strided convolution -> residual blocks (encoder, each level at half
the resolution of the one before) -> residual blocks (decoder, back to the finest level) -> 1x1 head, at 1/stride of the
image. The network pads images inside, so that it accepts every size.

All layers are equivariant: the maps of a flipped or quarter-turned image are the flipped or turned maps. This is exact
where both sides need equal padding (multiples of twice the stride are such sides) and approximate elsewhere.

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

from centerdet.model.dihedral import ORDER
from centerdet.model.equivariant import GroupBatchNorm, GroupConv, LiftingConv
from centerdet.model.head import EquivariantHead, VectorKind
from centerdet.model.input_encoding import CHANNELS, Normalization, log_likelihood_ratio, standardise
from centerdet.model.types import Prediction

# Far above useful networks; a config alone must not fill the memory.
MAX_LEVELS, MAX_CHANNELS, MAX_BLOCKS, MAX_WEIGHTS = 8, 4096, 64, 10**9
SIZE_SCALARS = slice(1, 3)  # of the head: width, height


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """Settings of the network, stored with the weights.

    Attributes:
        stride: Pixels per output cell: 1, 2, 4 or 8.
        channels: Channels at each level, multiples of 8, finest level first.
        num_blocks: Residual blocks at each level of the encoder. The decoder has one at each level.
        noise_level: Upper bound of the background's pixels, in (0, 1]. With it the network's input is their
            log-likelihood ratio; with ``None`` (unknown), ``normalization`` decides.
        normalization: Input of a network without a noise level. "none": the image itself; "image": standardised, so
            that contrast and offset do not matter; "local": also standardised in a window around each pixel.
        heatmap_prior: Value of an untrained network's heatmap, in (0, 1).
        has_heading: Whether the yaw distinguishes front from back. If not, the yaw maps are sin and cos of twice the
            yaw.

    Raises:
        ValueError: If a setting is out of range.
    """

    stride: int = 4
    channels: tuple[int, ...] = (48, 64, 96)
    num_blocks: tuple[int, ...] = (1, 2, 2)
    noise_level: float | None = 0.8
    normalization: Normalization = "none"
    heatmap_prior: float = 0.01  # Lin et al., "Focal Loss", arXiv 1708.02002, section 4.1
    has_heading: bool = True

    def __post_init__(self) -> None:
        if self.stride not in (1, 2, 4, 8):
            raise ValueError(f"stride must be 1, 2, 4 or 8, got {self.stride}")
        if not 1 <= len(self.channels) <= MAX_LEVELS or len(self.channels) != len(self.num_blocks):
            raise ValueError(
                f"channels and num_blocks need one number per level each, for 1 to {MAX_LEVELS} levels, "
                f"got {self.channels} and {self.num_blocks}"
            )
        if any(not 1 <= channels <= MAX_CHANNELS or channels % ORDER for channels in self.channels):
            raise ValueError(
                f"channels must be multiples of {ORDER} (flips and turns), from {ORDER} to {MAX_CHANNELS}, "
                f"got {self.channels}"
            )
        if not all(0 <= count <= MAX_BLOCKS for count in self.num_blocks):
            raise ValueError(f"num_blocks must lie in 0..{MAX_BLOCKS} at each level, got {self.num_blocks}")
        kernels = sum(
            9 * width**2 * (2 * count + 2) for width, count in zip(self.channels, self.num_blocks, strict=True)
        )
        if kernels > MAX_WEIGHTS:
            raise ValueError(
                f"channels and num_blocks give {kernels:,} weights in 3x3 kernels, and at most {MAX_WEIGHTS:,} are "
                f"allowed, got {self.channels} and {self.num_blocks}"
            )
        if len(self.num_blocks) == 1 and not self.num_blocks[0]:
            raise ValueError("a network of one level needs at least one block, got num_blocks [0]")
        if not 0 < self.heatmap_prior < 1:
            raise ValueError(f"heatmap_prior must lie in (0, 1), got {self.heatmap_prior}")
        if self.noise_level is not None and not 0 < self.noise_level <= 1:
            raise ValueError(f"noise_level must lie in (0, 1] or be null, got {self.noise_level}")
        if self.normalization not in CHANNELS:
            raise ValueError(f"normalization must be one of {', '.join(CHANNELS)}, got {self.normalization!r}")

    @property
    def in_channels(self) -> int:
        """Channels of the network's input."""
        return CHANNELS[self.normalization] if self.noise_level is None else 2


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a skip connection: ``(B, channels, h, w)`` to the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        norm = GroupBatchNorm(channels)
        nn.init.zeros_(norm.weight)  # each block starts as the identity
        self.first = _conv_norm_relu(GroupConv(channels, channels, 3), channels)
        self.second = nn.Sequential(GroupConv(channels, channels, 3), norm)

    def forward(self, features: Tensor) -> Tensor:
        """Adds the output of the convolutions to the features."""
        return self.second(self.first(features)).add_(features).relu_()  # in place: it takes less memory and time


class CenterNet(nn.Module):
    """Maps images to centre logits, sizes, sin/cos of yaw, and offsets: Zhou et al., arXiv 1904.07850.

    An object that looks the same after half a turn shows no heading. An equivariant network cannot give it one.

    Args:
        config: Settings of the network.
    """

    def __init__(self, config: NetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or NetworkConfig()
        channels = config.channels
        self.stem = _conv_norm_relu(LiftingConv(config.in_channels, channels[0], stride=config.stride), channels[0])
        self.down = nn.ModuleList(_conv_norm_relu(GroupConv(a, b, 2), b) for a, b in pairwise(channels))
        self.encoder = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(level) for _ in range(count)))
            for level, count in zip(channels, config.num_blocks, strict=True)
        )
        self.up = nn.ModuleList(GroupConv(b, a, 1, bias=True) for a, b in pairwise(channels))
        self.decoder = nn.ModuleList(ResidualBlock(level) for level in channels[:-1])
        yaw: VectorKind = "vector" if config.has_heading else "axis"
        # Scalars: centre, then those of SIZE_SCALARS. Vectors: yaw, offset.
        self.heads = EquivariantHead(channels[0], scalars=3, vectors=(yaw, "vector"))
        nn.init.constant_(self.heads.bias[0], math.log(config.heatmap_prior / (1 - config.heatmap_prior)))

    def forward(self, images: Tensor) -> Prediction:
        """Maps ``(B, 1, H, W)`` images in [0, 1] to maps of ``ceil(H / stride)`` rows, ``ceil(W / stride)`` columns."""
        return self.predict_maps(self.encode_images(images))

    def predict_maps(self, encoded: Tensor) -> Prediction:
        """The same from ``encode_images(images)``, for callers that need both."""
        top, bottom, rows = self._padding(encoded.shape[-2])
        left, right, columns = self._padding(encoded.shape[-1])
        # Pad the encoded images, not the images: 0 is neutral there, as is the padding inside a convolution.
        padded = pad(encoded, (left, right, top, bottom))
        features = self.stem(padded)  # (B, channels[0], h, w), with h and w of whole cells at every level
        skips = []
        for blocks, down in zip(self.encoder, self.down, strict=False):
            skips.append(blocks(features))
            features = down(skips[-1])  # half as many rows and columns
        features = self.encoder[-1](features)
        for skip, up, block in zip(reversed(skips), reversed(self.up), reversed(self.decoder), strict=True):
            features = block(skip + interpolate(up(features), scale_factor=2.0, mode="nearest"))
        maps = self.heads(features)[:, :, rows, columns]  # (B, 7, ceil(H / stride), ceil(W / stride))
        center, size, yaw, offset = maps.split((1, 2, 2, 2), dim=1)  # the vector (sin yaw, cos yaw) is the heading
        return Prediction(center=center, size=size, yaw=yaw, offset=offset)

    def encode_images(self, images: Tensor, out: Tensor | None = None) -> Tensor:
        """Encodes images ``(B, 1, H, W)`` in [0, 1] as the network sees them: ``(B, in_channels, H, W)``.

        The result is put into ``out``, if that is given.
        """
        if self.config.noise_level is not None:
            return log_likelihood_ratio(images, self.config.noise_level, out)
        if self.config.normalization == "none":
            return images if out is None else out.copy_(images)
        return standardise(images, local=self.config.normalization == "local", out=out)

    def scale_sizes(self, factor: float) -> None:
        """Makes all predicted sizes ``factor`` times as large."""
        with torch.no_grad():
            self.heads.scalars[SIZE_SCALARS] *= factor
            self.heads.bias[SIZE_SCALARS] *= factor

    def _padding(self, side: int) -> tuple[int, int, slice]:
        """Returns the pixels to add before and after an image's side, and the cells that cover the image itself.

        All levels then have whole cells. The padding is as even on both sides as whole cells allow.
        """
        stride = self.config.stride
        cells = math.ceil(side / stride)
        missing = -cells % 2 ** len(self.down)
        before = missing // 2
        return before * stride, (cells + missing - before) * stride - side, slice(before, before + cells)


def fuse(network: CenterNet) -> CenterNet:
    """Returns a faster copy for inference: ordinary convolutions, with each batch norm folded into the one before."""
    fused = copy.deepcopy(network).eval()
    for name, layer in list(fused.named_modules()):
        parent_name, _, child_name = name.rpartition(".")
        parent = fused.get_submodule(parent_name)
        if isinstance(layer, nn.Sequential) and len(layer) > 1:
            convolution, norm = layer[0], layer[1]
            if isinstance(convolution, GroupConv | LiftingConv) and isinstance(norm, GroupBatchNorm):
                layer[0] = fuse_conv_bn_eval(convolution.to_conv().eval(), norm.to_batch_norm())
                layer[1] = nn.Identity()
        elif isinstance(layer, nn.ReLU):
            layer.inplace = True
        elif isinstance(layer, GroupConv | EquivariantHead) and not isinstance(parent, nn.Sequential):
            parent.register_module(child_name, layer.to_conv())
    return fused.requires_grad_(False)


def _conv_norm_relu(convolution: GroupConv | LiftingConv, channels: int) -> nn.Sequential:
    return nn.Sequential(convolution, GroupBatchNorm(channels), nn.ReLU())
