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
EASY_SHARE = 0.3  # of the steps of a new network
VALIDATION_SIDE = 160


class GenericBatches(BatchSeries):
    """A repeatable series of batches: batch ``step`` depends on ``(seed, step)`` and its place in the schedule alone.

    Args:
        seed: Seed of the series, at least 0.
        steps: Number of batches.
        size: Number and side, px, of the images of a batch; ``None``: sides of ``SIDES``, ``BATCH_PIXELS`` in all.
        easy_share: Fraction of the steps, in [0, 1], in which scenes grow to their full difficulty.
    """

    def __init__(
        self, seed: int, *, steps: int, size: tuple[int, int] | None = None, easy_share: float = EASY_SHARE
    ) -> None:
        super().__init__(seed, steps)
        self.size, self.easy_share = size, easy_share

    def _draw_batch(self, rng: np.random.Generator, place: float) -> Batch:
        count, side = self.size or _draw_size(rng)
        easy_steps = self.easy_share * self.steps
        difficulty = place / easy_steps if place < easy_steps else 1.0
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
