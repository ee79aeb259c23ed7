"""Training batches of generic scenes: a repeatable series of growing difficulty."""

from __future__ import annotations

import numpy as np

from centerdet.box import RotatedBox
from centerdet.model.batch_series import BatchSeries, make_batch
from centerdet.model.types import Batch
from centerdet.synthetic.generic.grounds import Image
from centerdet.synthetic.generic.scenes import draw_scene

SIDES = (96, 128, 160, 224)  # px, of the images of a batch
SIDE_SHARES = (0.35, 0.35, 0.2, 0.1)  # of the batches
BATCH_PIXELS = 16 * 128**2  # a batch of larger images has fewer of them
FULL_DIFFICULTY = 0.3  # fraction of the steps after which scenes have their full difficulty
VALIDATION_SIDE = 160


class GenericBatches(BatchSeries):
    """A repeatable series of batches: batch ``step`` depends on ``(seed, step)`` and its place in the schedule alone.

    Args:
        seed: Seed of the series, at least 0.
        steps: Number of batches.
        size: Number and side, px, of the images of a batch; ``None``: sides of ``SIDES``, ``BATCH_PIXELS`` in all.
    """

    def __init__(self, seed: int, *, steps: int, size: tuple[int, int] | None = None) -> None:
        super().__init__(seed, steps)
        self.size = size

    def _draw_batch(self, rng: np.random.Generator, place: float) -> Batch:
        count, side = self.size or _draw_size(rng)
        difficulty = min(1.0, place / (FULL_DIFFICULTY * self.steps))
        return make_batch(*zip(*(draw_scene(rng, side, difficulty=difficulty) for _ in range(count)), strict=True))


def _draw_size(rng: np.random.Generator) -> tuple[int, int]:
    side = int(rng.choice(SIDES, p=SIDE_SHARES))
    return max(1, round(BATCH_PIXELS / side**2)), side


def validation_scenes(seed: int, count: int) -> list[tuple[Image, RotatedBox | None]]:
    """Draws scenes of full difficulty that differ from those of ``GenericBatches``; a fifth is empty."""
    return [
        draw_scene(np.random.Generator(np.random.SFC64((seed, index, 1))), VALIDATION_SIDE, object_probability=0.8)
        for index in range(count)
    ]
