"""The second stage: a small network that sees an object upright, moves its box and predicts how good the box is.

patch ``(B, C, rows, columns)`` -> strided convolutions -> flatten -> two hidden layers -> ``BoxUpdate``. All layers are
equivariant to the mirror across the heading: for a mirrored patch, the shift across and the turn change their sign and
nothing else changes. The mirrored features are channels of their own, so objects need not be symmetric.

Iterated box updates: Cai & Vasconcelos, "Cascade R-CNN", arXiv 1712.00726; predicted quality: Jiang et al.,
"Acquisition of Localization Confidence" (IoU-Net), arXiv 1807.11590.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from centerdet.model.box_update import BoxUpdate
from centerdet.model.mirror import MirrorBatchNorm, MirrorConv
from centerdet.model.patches import patch_points, sample_patches

REDUCTION = 8  # the patch is halved three times
MAX_STEP = 1.0  # largest absolute value in an update, so that an untrained network cannot move a box far
# Far above useful networks: settings alone must fill neither the memory nor the time.
MAX_SIDE, MAX_MARGIN, MAX_SIZE_UNIT, MAX_CHANNELS, MAX_DEPTH, MAX_LEVELS = 1024, 100.0, 10_000.0, 4096, 64, 64
ODD, EVEN = 2, 3  # numbers of an update that a mirror negates (shift across, turn), and the others


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondStageConfig:
    """Settings of the network; they are stored with the weights.

    Attributes:
        rows: Samples along the heading, a multiple of 8, at most 1,024.
        columns: Samples across the heading, as ``rows``.
        margin: What the patch spans, in widths and heights of the box.
        channels: Of the convolutions at 1/2, 1/4 and 1/8 of the patch, even numbers.
        depths: 3x3 convolutions at each of them.
        hidden: Channels of the two hidden layers, even numbers.
        quality_levels: IoUs; for each the network predicts the chance that a box is better (and its heading right).
        size_unit: px; the network sees the logarithms of width and height in this unit.
        has_heading: Whether the yaw distinguishes front from back, as the first stage's.

    Raises:
        ValueError: If a setting is out of range.
    """

    rows: int = 80
    columns: int = 56
    margin: float = 1.75
    channels: tuple[int, int, int] = (24, 48, 64)
    depths: tuple[int, int, int] = (1, 2, 1)
    hidden: tuple[int, int] = (160, 64)
    quality_levels: tuple[float, ...] = (0.5, 0.7, 0.8, 0.9)
    size_unit: float = 32.0
    has_heading: bool = True

    def __post_init__(self) -> None:
        if any(side % REDUCTION or not REDUCTION <= side <= MAX_SIDE for side in (self.rows, self.columns)):
            raise ValueError(
                f"rows and columns must be multiples of 8, at most {MAX_SIDE}, got {self.rows} and {self.columns}"
            )
        if any(width % 2 or not 2 <= width <= MAX_CHANNELS for width in (*self.channels, *self.hidden)):
            raise ValueError(
                f"channels and hidden must be even, at most {MAX_CHANNELS}, got {self.channels} and {self.hidden}"
            )
        if len(self.channels) != 3 or len(self.depths) != 3 or len(self.hidden) != 2:
            raise ValueError(f"a second stage has three levels and two hidden layers, got {self}")
        if not all(0 <= depth <= MAX_DEPTH for depth in self.depths):
            raise ValueError(f"depths must lie in 0..{MAX_DEPTH}, got {self.depths}")
        for name, value, limit in (
            ("margin", self.margin, MAX_MARGIN),
            ("size_unit", self.size_unit, MAX_SIZE_UNIT),
        ):
            if not 0 < value <= limit:
                raise ValueError(f"{name} must be above 0 and at most {limit:g}, got {value}")
        if not 1 <= len(self.quality_levels) <= MAX_LEVELS or not all(0 < level < 1 for level in self.quality_levels):
            raise ValueError(f"quality_levels must be 1 to {MAX_LEVELS} numbers in (0, 1), got {self.quality_levels}")


class SecondStage(nn.Module):
    """Patches and box sizes -> ``BoxUpdate``.

    Args:
        in_channels: Of a patch: the first stage's log-likelihood ratios, and the mask of what is inside the image.
        config: Patch and widths.
    """

    def __init__(self, in_channels: int, config: SecondStageConfig | None = None) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.config = config = config or SecondStageConfig()
        layers: list[nn.Module] = []
        inputs, kernel = in_channels, 4  # even kernels with stride 2 keep the mirror exact
        for channels, depth in zip(config.channels, config.depths, strict=True):
            lift, padding = not layers, kernel // 2 - 1
            layers += _activated(MirrorConv(inputs, channels, (kernel, kernel), stride=2, padding=padding, lift=lift))
            for _ in range(depth):
                layers += _activated(MirrorConv(channels, channels, (3, 3), padding=1))
            inputs, kernel = channels, 2
        self.features = nn.Sequential(*layers)
        first, second = config.hidden
        self.flatten = MirrorConv(inputs, first, (config.rows // REDUCTION, config.columns // REDUCTION))
        self.sizes = nn.Linear(2, first // 2)
        self.first = nn.Sequential(MirrorBatchNorm(first), nn.ReLU())
        self.second = nn.Sequential(*_activated(MirrorConv(first, second, (1, 1))))
        self.odd = nn.Linear(second // 2, ODD, bias=False)
        self.even = nn.Linear(second // 2, EVEN + 2 * len(config.quality_levels))
        for head in (self.odd, self.even):
            head.weight = nn.Parameter(torch.randn(head.weight.shape).mul_(0.01))  # untrained, it hardly moves a box
        nn.init.zeros_(self.even.bias)

    def forward(self, patches: Tensor, sizes: Tensor) -> BoxUpdate:
        """Predicts updates.

        Args:
            patches: ``(B, C, rows, columns)`` of ``sample_patches``.
            sizes: ``(B, 2)`` width and height of the boxes, px.
        """
        size = self.sizes((sizes / self.config.size_unit).log())
        hidden = self.flatten(self.features(patches)) + torch.cat([size, size], 1)[:, :, None, None]  # (B, C, 1, 1)
        left, right = self.second(self.first(hidden)).flatten(1).chunk(2, 1)  # each (B, hidden / 2)
        odd, even = self.odd(left - right), self.even(left + right)
        delta = torch.stack([odd[:, 0], even[:, 0], odd[:, 1], even[:, 1], even[:, 2]], 1).clamp(-MAX_STEP, MAX_STEP)
        now, after = even[:, EVEN:].chunk(2, 1)
        return BoxUpdate(delta=delta, now=now, after=after)

    def predict_updates(self, encoded: Tensor, boxes: Tensor, image_index: Tensor | None = None) -> BoxUpdate:
        """Cuts patches out of images and predicts the updates of their boxes.

        Args:
            encoded: ``(B, C, H, W)`` images of ``CenterNet.encode_images``.
            boxes: ``(N, 5)`` px, rad.
            image_index: ``(N,)`` int64, the image of each box; ``None``: one box in each image.
        """
        config = self.config
        points = patch_points(config.rows, config.columns, config.margin, boxes.device)
        patches = sample_patches(encoded, boxes, points, image_index)  # (N, C + 1, P)
        return self(patches.unflatten(2, (config.rows, config.columns)), boxes[:, 3:])


def fuse_second_stage(stage: SecondStage) -> SecondStage:
    """A copy for inference, of ordinary convolutions with each batch norm folded in: the same updates, sooner."""
    fused = copy.deepcopy(stage).eval()
    fused.features, fused.second = _fuse_sequence(stage.features), _fuse_sequence(stage.second)
    norm = cast(MirrorBatchNorm, stage.first[0]).to_batch_norm()
    fused.flatten = fuse_conv_bn_eval(stage.flatten.to_conv().eval(), norm)  # type: ignore[assignment]
    scale = (
        norm.weight / (cast(Tensor, norm.running_var) + norm.eps).sqrt()
    )  # the sizes are added before the norm: scale them, too
    half = len(scale) // 2
    fused.sizes.weight.data.mul_(scale[:half, None])
    fused.sizes.bias.data.mul_(scale[:half])
    fused.first = nn.Sequential(nn.ReLU(inplace=True))
    return fused.requires_grad_(False)


def _fuse_sequence(layers: nn.Sequential) -> nn.Sequential:
    """Convolution, norm and ReLU, again and again, without the norms."""
    fused: list[nn.Module] = []
    for convolution, norm in zip(list(layers)[::3], list(layers)[1::3], strict=True):
        assert isinstance(convolution, MirrorConv)
        assert isinstance(norm, MirrorBatchNorm)
        fused += [fuse_conv_bn_eval(convolution.to_conv().eval(), norm.to_batch_norm()), nn.ReLU(inplace=True)]
    return nn.Sequential(*fused)


def _activated(convolution: MirrorConv) -> list[nn.Module]:
    return [convolution, MirrorBatchNorm(2 * convolution.shape[0]), nn.ReLU()]
