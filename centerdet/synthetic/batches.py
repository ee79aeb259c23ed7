"""Training batches of the task's scenes: a repeatable series, whose scenes change from phase to phase of training."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from centerdet.cropping import check_batch_size, check_phase_ends
from centerdet.model.batch_series import BatchSeries
from centerdet.model.types import Batch
from centerdet.preprocessing import MIN_SIDE
from centerdet.synthetic.batch_drawing import draw_batch
from centerdet.synthetic.scenes import MAX_LINES, ScenesConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A part of training, with easier or smaller scenes.

    Attributes:
        end_fraction: End of the phase, as a fraction of all steps, in (0, 1].
        crop_size: Side in px of a square crop of each scene that holds the visible part of its ship; ``None``: whole
            scenes.
        num_lines: Number of lines in a scene; ``None``: as in ``ScenesConfig``.

    Raises:
        ValueError: If a setting is out of range.
    """

    end_fraction: float = 1.0
    crop_size: int | None = None
    num_lines: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.end_fraction <= 1:
            raise ValueError(f"end_fraction must lie in (0, 1], got {self.end_fraction}")
        if self.num_lines is not None and not 0 <= self.num_lines <= MAX_LINES:
            raise ValueError(f"num_lines must lie in 0..{MAX_LINES} or be null, got {self.num_lines}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CurriculumConfig:
    """Size and content of training batches in the course of training.

    Attributes:
        batch_size: Number of scenes in a batch.
        ship_probability: Fraction of training scenes with a ship, in [0, 1].
        phases: Phases in their order; the last one ends at 1.

    Raises:
        ValueError: If a setting is out of range.
    """

    batch_size: int = 16
    ship_probability: float = 0.9
    phases: tuple[Phase, ...] = (Phase(),)

    def __post_init__(self) -> None:
        check_batch_size(self.batch_size)
        if not 0 <= self.ship_probability <= 1:
            raise ValueError(f"ship_probability must lie in [0, 1], got {self.ship_probability}")
        check_phase_ends([phase.end_fraction for phase in self.phases])


class SyntheticBatches(BatchSeries):
    """A repeatable series of training batches: batch ``step`` depends on ``(seed, step)`` and the config alone.

    Args:
        seed: Seed of the series, at least 0. The series shares no scene with ``make_data`` or ``SyntheticScenes``.
        steps: Number of batches.
        scenes: Distribution of the scenes; the curriculum's ``ship_probability`` replaces the one in it.
        curriculum: Batch size and phases.
        device: Where to draw the batches.

    Raises:
        ValueError: If a crop is smaller than 64 px or larger than the scenes.
    """

    def __init__(
        self,
        seed: int,
        *,
        steps: int,
        scenes: ScenesConfig | None = None,
        curriculum: CurriculumConfig | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(seed, steps)
        self.device = torch.device(device)
        self.curriculum = curriculum or CurriculumConfig()
        self.scenes = replace(scenes or ScenesConfig(), ship_probability=self.curriculum.ship_probability)
        for phase in self.curriculum.phases:
            if phase.crop_size is not None and not MIN_SIDE <= phase.crop_size <= self.scenes.image_size:
                raise ValueError(f"crop_size must lie in {MIN_SIDE}..{self.scenes.image_size}, got {phase.crop_size}")

    def _draw_batch(self, rng: np.random.Generator, place: float) -> Batch:
        phase = next(phase for phase in self.curriculum.phases if place < phase.end_fraction * self.steps)
        scenes = self.scenes if phase.num_lines is None else replace(self.scenes, num_lines=phase.num_lines)
        return draw_batch(rng, self.curriculum.batch_size, scenes=scenes, crop_size=phase.crop_size, device=self.device)
