"""Base class of the series of training batches, and a batch from single images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from centerdet.box import RotatedBox
from centerdet.model.types import Batch


class BatchSeries(ABC):
    """A repeatable series of training batches: one depends on the seed, its step and its place in the schedule alone.

    Args:
        seed: Seed of the series, at least 0.
        steps: Number of batches.
    """

    def __init__(self, seed: int, steps: int) -> None:
        self.seed, self.steps = seed, steps

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Batch:
        """Returns batch ``step``, from 0 to ``len - 1``: images ``(B, 1, h, w)`` in [0, 1], boxes ``(B, 5)``.

        Raises:
            IndexError: If there is no such step.
        """
        return self.at_place(step, step)

    def at_place(self, step: int, place: float) -> Batch:
        """Returns batch ``step`` as at a place of the schedule, in steps, which may be ahead of the step.

        Raises:
            IndexError: If there is no such step or place.
        """
        if not 0 <= step <= place < self.steps:
            raise IndexError(f"step must lie in 0..{self.steps - 1}, got {step}, at the place {place}")
        return self._draw_batch(np.random.Generator(np.random.SFC64((self.seed, step))), place)

    @abstractmethod
    def _draw_batch(self, rng: np.random.Generator, place: float) -> Batch:
        """Draws the batch of a step, for a place of the schedule."""


def make_batch(images: Sequence[NDArray[np.float32]], boxes: Sequence[RotatedBox | None]) -> Batch:
    """Makes a batch of images ``(H, W)`` of one size, in [0, 1], and their boxes."""
    return Batch(
        images=torch.from_numpy(np.stack(images))[:, None],
        boxes=torch.from_numpy(np.stack([np.zeros(5) if box is None else box.to_array() for box in boxes])).float(),
        has_object=torch.tensor([box is not None for box in boxes]),
    )
