"""Re-implementation of the regression network of published solutions (convolve, flatten, regress), to compare speed.

Its weights are random: only its speed means something, its boxes do not.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from centerdet.detector.base import BaseDetector
from centerdet.parallel import parallel_map

CHANNELS = (1, 32, 64, 128, 128, 256, 256, 16)
POOLED = 4  # the first so many convolutions are followed by max pooling
FEATURES = 16 * 12 * 12  # of images of 200 x 200 px
TYPICAL_BOX = (100.0, 100.0, 0.0, 25.0, 40.0)  # bias of the box head, so that random weights give valid boxes


class RegressionNetwork(nn.Module):
    """Images ``(B, 1, 200, 200)`` -> boxes ``(B, 5)`` and presence logits ``(B,)``; 1.99 million parameters."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index, (in_channels, out_channels) in enumerate(pairwise(CHANNELS)):
            layers += [nn.Conv2d(in_channels, out_channels, 3, padding=1), nn.BatchNorm2d(out_channels), nn.ReLU()]
            if index < POOLED:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers, nn.Flatten())  # (B, 16 * 12 * 12)
        self.box = nn.Sequential(nn.Linear(FEATURES, 256), nn.ReLU(), nn.Linear(256, 5))
        self.presence = nn.Sequential(nn.Linear(FEATURES, 100), nn.ReLU(), nn.Linear(100, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Returns boxes ``(B, 5)`` and presence logits ``(B,)``."""
        features = self.features(images)
        return self.box(features), self.presence(features)[:, 0]

    def fused(self) -> RegressionNetwork:
        """Folds the batch norms into the convolutions, in place, and returns the network in evaluation mode."""
        self.eval().requires_grad_(False)
        layers = list(self.features)
        for index, layer in enumerate(layers):
            if isinstance(layer, nn.BatchNorm2d):
                layers[index - 1] = fuse_conv_bn_eval(layers[index - 1], layer)
        self.features = nn.Sequential(*(layer for layer in layers if not isinstance(layer, nn.BatchNorm2d)))
        return self


class RegressionBaseline(BaseDetector):
    """The regression network as a detector, with the same image preparation and box reading as the others.

    Args:
        whole_batches: Process whole batches with channels first, as is usual. Otherwise process image by image with
            channels last, which is faster on a CPU.
    """

    def __init__(self, *, whole_batches: bool = False) -> None:
        super().__init__(threshold=0.5, intensity_range=None, has_heading=True, metadata=None)
        layout = torch.contiguous_format if whole_batches else torch.channels_last
        self.network, self.whole_batches = RegressionNetwork().fused().to(memory_format=layout), whole_batches
        with torch.no_grad():
            self.network.box[2].bias.copy_(torch.tensor(TYPICAL_BOX))

    def heatmap(self, image: ArrayLike) -> NDArray[np.float32]:
        """Not available.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("a regression network has no heatmap")

    def _decode(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        parts = torch.from_numpy(images)[:, None].split(len(images) if self.whole_batches else 1)
        boxes, logits = (torch.cat(part) for part in zip(*parallel_map(self._predict, parts), strict=True))
        return boxes.numpy(), logits.sigmoid().numpy()

    @torch.inference_mode()
    def _predict(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.network(images)
