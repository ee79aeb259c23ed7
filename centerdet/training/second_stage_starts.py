"""Boxes that the second stage starts from in training: blocks of images, and what the first stages find in them.

Block ``b`` depends on the source of images, the seed, the config and the first stages alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from centerdet.detector.detector import Detector
from centerdet.model.types import Batch
from centerdet.training.second_stage_config import StartsConfig
from centerdet.training.trainer import BatchSource

FIRST_STAGE_BATCH = 8  # images that a first stage sees at once: more leave a CPU's cache


class Block(NamedTuple):
    """Images and the starts in them.

    Attributes:
        scenes: N images with their labels.
        image_index: ``(M,)`` int64, the image of each start, in random order.
        boxes: ``(M, 5)`` px, rad, the starts.
    """

    scenes: Batch
    image_index: Tensor
    boxes: Tensor


class StartBlocks:
    """A repeatable series of blocks.

    Args:
        source: ``source[b]`` holds the images of block ``b``, some hundreds of them.
        first_stages: Detectors whose boxes are starts; the n-th one sees the first 1/n of a block's images, so the
            cheapest one comes first.
        seed: Of the starts, >= 0.
        config: How they are drawn.
    """

    def __init__(
        self,
        source: BatchSource,
        first_stages: Sequence[Detector],
        *,
        seed: int,
        config: StartsConfig | None = None,
    ) -> None:
        self.source, self.first_stages, self.seed = source, first_stages, seed
        self.config = config or StartsConfig()

    def __getitem__(self, block: int) -> Block:
        """Images and starts of block ``block`` >= 0."""
        config, rng = self.config, np.random.Generator(np.random.SFC64((self.seed, block, 1)))
        scenes = self.source[block]
        peaks = self._peaks(scenes.images[:, 0].cpu().numpy())
        index = np.repeat(np.arange(len(scenes.boxes)), config.starts)
        rng.shuffle(index)
        jittered = scenes.has_object.cpu().numpy()[index] & (rng.random(len(index)) < config.jittered_truths)
        found = self._pick(rng, index, peaks)
        boxes = np.where(jittered[:, None], scenes.boxes.cpu().numpy().astype(np.float64)[index], found)
        boxes = self._jitter(rng, boxes, np.where(jittered, 1.0, config.peak_factor))
        return Block(scenes, torch.from_numpy(index), torch.from_numpy(boxes).float())

    def _peaks(self, images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """The first stages' boxes ``(n, K, 5)`` in a block's images ``(N, H, W)``, an array for each stage."""
        stages = enumerate(self.first_stages, 1)
        return [self._find(detector, images[: max(1, len(images) // number)]) for number, detector in stages]

    def _find(self, detector: Detector, images: NDArray[np.float32]) -> NDArray[np.float32]:
        parts = np.array_split(images, math.ceil(len(images) / FIRST_STAGE_BATCH))
        return np.concatenate([detector.candidates(part, len(self.config.peak_shares))[0] for part in parts])

    def _pick(self, rng: np.random.Generator, index: NDArray, peaks: list[NDArray]) -> NDArray[np.float64]:
        """For each start a box of one of the first stages that saw its image: ``(M, 5)``."""
        seen = np.array([len(boxes) for boxes in peaks])
        choices = (seen[:, None] > index).sum(0)  # how many saw it: the first ones
        stage = np.floor(rng.random(len(index)) * choices).astype(int)
        rank = rng.choice(len(self.config.peak_shares), p=self.config.peak_shares, size=len(index))
        found = np.zeros((len(index), 5))
        for number, boxes in enumerate(peaks):
            chosen = stage == number
            found[chosen] = boxes[index[chosen], rank[chosen]]
        return found

    def _jitter(self, rng: np.random.Generator, boxes: NDArray, factor: NDArray) -> NDArray[np.float64]:
        """Boxes ``(M, 5)`` moved at random, by ``factor`` ``(M,)``; some are turned by a half or a quarter."""
        config, count = self.config, len(boxes)
        factor = factor * np.where(rng.random(count) < config.wide_share, config.wide_factor, 1.0)
        deviation = np.array([config.shift, config.shift, config.turn, config.scale, config.scale])
        across, along, turn, *scales = (rng.normal(size=(count, 5)) * deviation * factor[:, None]).T
        kind, side = rng.random(count), np.where(rng.random(count) < 0.5, 1, -1)
        half, quarter = kind < config.half_turns, kind < config.half_turns + config.quarter_turns
        turn = turn + np.select([half, quarter], [math.pi, side * math.pi / 2], 0.0)
        x, y, yaw, width, height = boxes.T
        u, v, sin, cos = across * width, along * height, np.sin(yaw), np.cos(yaw)
        width, height = (
            np.maximum(s, config.min_size) * np.exp(scale) for s, scale in zip((width, height), scales, strict=True)
        )
        return np.stack([x + u * cos + v * sin, y - u * sin + v * cos, yaw + turn, width, height], axis=1)
