"""Inference of a trained network: folded batch norms, a device, and batches that fit a CPU's cache."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from centerdet.model.centernet import CenterNet, fuse
from centerdet.model.types import Prediction

# Pixels x channels of one forward pass on a CPU: the maps of more images outgrow its cache. Four to eight images of
# 200 x 200 px at 48 channels were fastest (docs/experiments.md).
MAX_CPU_VALUES = 16_000_000
MAX_CPU_ENCODED = 100_000  # pixels that are encoded together on a CPU: its intermediate results then stay in the cache
MAX_CPU_PIXELS = 2_000_000  # of images that pass the second stage together: bounds the memory of their encoding


class InferenceNetwork:
    """Copy of a network that only predicts, faster than the original.

    Args:
        network: The network in its present state.
    """

    def __init__(self, network: CenterNet) -> None:
        self.module = fuse(network)
        self.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # missing in torch's types

    def __call__(self, images: NDArray[np.float32]) -> tuple[Tensor, Prediction]:
        """Encoded images and maps of images ``(B, H, W)`` in [0, 1]; call it in ``torch.inference_mode``."""
        pixels = torch.from_numpy(images)[:, None].to(self.device)  # (B, 1, H, W)
        encoded = pixels.new_empty((len(pixels), self.module.config.in_channels, *pixels.shape[2:]))
        parts = (self._split(tensor, MAX_CPU_ENCODED) for tensor in (pixels, encoded))
        for part, out in zip(*parts, strict=True):
            self.module.encode_images(part, out)
        values = MAX_CPU_VALUES // self.module.config.channels[0]
        maps = [self.module.predict_maps(part) for part in self._split(encoded, values)]
        return encoded, Prediction(*(torch.cat(parts) for parts in zip(*maps, strict=True)))

    def _split(self, images: Tensor, pixels: int) -> tuple[Tensor, ...]:
        """Splits images ``(B, C, H, W)`` into parts of at most that many pixels, or of one image; on a GPU into one."""
        size = max(1, pixels // images[0, 0].numel()) if self.device.type == "cpu" else len(images)
        return images.chunk(math.ceil(len(images) / size))

    def share(self, images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Shares images ``(B, H, W)`` among torch's threads; a GPU gets all of them."""
        if self.device.type != "cpu":
            return [images]
        shares = max(torch.get_num_threads(), math.ceil(images.size / MAX_CPU_PIXELS))
        return np.array_split(images, min(len(images), shares))

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return next(self.module.parameters()).device

    def to(self, device: torch.device | str) -> None:
        """Moves the network to a device."""
        self.module.to(device)
