"""Our re-implementation of what published solutions of the task use: convolve, flatten, regress. For its speed alone.

Its weights are random: nothing about the answers is measured.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from centerdet.detector.base import BaseDetector
from centerdet.parallel import parallel_map


class RegressionNetwork(nn.Module):
    """Images ``(B, 1, 200, 200)`` -> boxes ``(B, 5)`` and logits of presence ``(B,)``; 1.99 million parameters."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = (1, 32, 64, 128, 128, 256, 256, 16)
        for inputs, outputs in pairwise(channels):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
            if len(layers) < 4 * 4:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers, nn.Flatten())  # 16 channels of 12 x 12
        self.box = nn.Sequential(nn.Linear(2304, 256), nn.ReLU(), nn.Linear(256, 5))
        self.presence = nn.Sequential(nn.Linear(2304, 100), nn.ReLU(), nn.Linear(100, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Looks once, answers twice."""
        features = self.features(images)
        return self.box(features), self.presence(features)[:, 0]

    def fused(self) -> RegressionNetwork:
        """The same with the batch norms folded in; changes this one."""
        self.eval().requires_grad_(False)
        layers = list(self.features)
        for index, layer in enumerate(layers):
            if isinstance(layer, nn.BatchNorm2d):
                layers[index - 1] = fuse_conv_bn_eval(layers[index - 1], layer)
        self.features = nn.Sequential(*(layer for layer in layers if not isinstance(layer, nn.BatchNorm2d)))
        return self


class RegressionBaseline(BaseDetector):
    """The baseline with a detector's calls, images prepared and answers read in the same way.

    Args:
        plain: Whole batches with channels first; else channels last and image by image, which is faster on a CPU.
    """

    def __init__(self, *, plain: bool = False) -> None:
        super().__init__(threshold=0.5, intensity_range=None, has_heading=True, metadata=None)
        layout = torch.contiguous_format if plain else torch.channels_last
        self.network, self.plain = RegressionNetwork().fused().to(memory_format=layout), plain
        with torch.no_grad():
            self.network.box[2].bias.copy_(torch.tensor([100.0, 100.0, 0.0, 25.0, 40.0]))  # boxes that are boxes

    def heatmap(self, image: NDArray) -> NDArray[np.float32]:
        """There is none."""
        raise NotImplementedError("a regression network has no heatmap")

    def _decode(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        parts = torch.from_numpy(images)[:, None].split(len(images) if self.plain else 1)
        boxes, logits = (torch.cat(part) for part in zip(*parallel_map(self._look, parts), strict=True))
        return boxes.numpy(), logits.sigmoid().numpy()

    @torch.inference_mode()
    def _look(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.network(images)
