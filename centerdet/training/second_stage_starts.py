"""Boxes that the second stage starts from in training: blocks of images, and what the first stages find in them.

Block ``b`` depends on the source of images, the seed, the config and the first stages alone. The first stages' boxes
take longer to make than all else, so they are kept in a folder, and another process may make them ahead of time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save
from torch import Tensor

from centerdet.detector.detector import Detector
from centerdet.files import write_atomically
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
        folder: Where the first stages' boxes are kept; ``None``: nowhere.
    """

    def __init__(
        self,
        source: BatchSource,
        first_stages: Sequence[Detector],
        *,
        seed: int,
        config: StartsConfig | None = None,
        folder: Path | None = None,
    ) -> None:
        self.source, self.first_stages, self.seed = source, first_stages, seed
        self.config, self.folder = config or StartsConfig(), folder

    def __getitem__(self, block: int) -> Block:
        """Images and starts of block ``block`` >= 0."""
        config, rng = self.config, np.random.Generator(np.random.SFC64((self.seed, block, 1)))
        scenes = self.source[block]
        peaks = self.peaks(block, scenes)
        index = np.repeat(np.arange(len(scenes.boxes)), config.starts)
        rng.shuffle(index)
        jittered = scenes.has_object.numpy()[index] & (rng.random(len(index)) < config.jittered_truths)
        found = self._pick(rng, index, peaks)
        boxes = np.where(jittered[:, None], scenes.boxes.numpy().astype(np.float64)[index], found)
        boxes = self._jitter(rng, boxes, np.where(jittered, 1.0, config.peak_factor))
        return Block(scenes, torch.from_numpy(index), torch.from_numpy(boxes).float())

    def peaks(self, block: int, scenes: Batch | None = None) -> list[NDArray[np.float32]]:
        """The first stages' boxes ``(n, K, 5)``, an array for each of them; made if they are not in the folder."""
        path = self.folder and self.folder / f"block-{block:05d}.safetensors"
        if path is not None and path.exists():
            arrays = load_file(path)
            return [arrays[str(number)] for number in range(len(arrays))]
        images = (scenes or self.source[block]).images[:, 0].numpy()
        stages = enumerate(self.first_stages, 1)
        peaks = [self._find(detector, images[: max(1, len(images) // number)]) for number, detector in stages]
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, save({str(number): array for number, array in enumerate(peaks)}))
        return peaks

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
