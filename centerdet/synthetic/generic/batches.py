"""Training batches of generic scenes: a repeatable series of growing difficulty."""

from __future__ import annotations

import numpy as np
import torch

from centerdet.box import RotatedBox
from centerdet.model.types import Batch
from centerdet.synthetic.generic.scenes import draw_scene

SIDES = (96, 128, 160, 224)  # px, of the images of a batch
SIDE_SHARES = (0.35, 0.35, 0.2, 0.1)  # of the batches
BATCH_PIXELS = 16 * 128**2  # a batch of larger images has fewer of them
FULL_DIFFICULTY = 0.3  # fraction of the steps after which scenes have their full difficulty
VALIDATION_SIDE = 160


class GenericBatches:
    """A repeatable series of batches: batch ``step`` depends on ``(seed, step)`` and its place in the schedule alone.

    Args:
        seed: Seed of the series, at least 0.
        steps: Number of batches.
        pixels: About as many pixels has a batch.
    """

    def __init__(self, seed: int, *, steps: int, pixels: int = BATCH_PIXELS) -> None:
        self.seed, self.steps, self.pixels = seed, steps, pixels

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Batch:
        """Draws batch ``step``, from 0 to ``len - 1``.

        Raises:
            IndexError: If there is no such step.
        """
        return self.at_place(step, step)

    def at_place(self, step: int, place: float) -> Batch:
        """Draws batch ``step`` with the difficulty of a place of the schedule, in steps.

        Raises:
            IndexError: If there is no such step or place.
        """
        if not 0 <= step <= place < self.steps:
            raise IndexError(f"step must lie in 0..{self.steps - 1}, got {step}, at the place {place}")
        rng = np.random.Generator(np.random.SFC64((self.seed, step)))
        side = int(rng.choice(SIDES, p=SIDE_SHARES))
        difficulty = min(1.0, place / (FULL_DIFFICULTY * self.steps))
        count = max(1, round(self.pixels / side**2))
        images, boxes = zip(*(draw_scene(rng, side, difficulty=difficulty) for _ in range(count)), strict=True)
        return Batch(
            images=torch.from_numpy(np.stack(images))[:, None],
            boxes=torch.tensor(np.stack([np.zeros(5) if box is None else box.to_array() for box in boxes])).float(),
            has_object=torch.tensor([box is not None for box in boxes]),
        )


def validation_scenes(seed: int, count: int) -> list[tuple[np.ndarray, RotatedBox | None]]:
    """Draws scenes of full difficulty that differ from those of ``GenericBatches``; a fifth is empty."""
    return [
        draw_scene(np.random.Generator(np.random.SFC64((seed, index, 1))), VALIDATION_SIDE, object_probability=0.8)
        for index in range(count)
    ]
