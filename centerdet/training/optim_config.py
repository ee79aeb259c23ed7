"""Settings that the training of both stages has in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MAX_COUNT = 10**9  # steps and intervals
MAX_RATE = 1e6  # learning rate, weight decay and norm: far above useful values; larger ones overflow float32


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimConfig:
    """Settings of the optimisers and of the average of the weights.

    Attributes:
        learning_rate: Peak learning rate.
        warmup_steps: Steps of linear warm-up; a cosine to zero follows.
        weight_decay: Weight decay of the kernels; biases and normalisation have none.
        clip_norm: Largest norm of the gradient.
        ema_decay: Decay of the moving average of the weights, which is validated and saved; smaller in the first steps.
        precision: ``bfloat16`` uses autocast; ``auto`` does so where the hardware multiplies bfloat16.

    Raises:
        ValueError: If a number is out of range.
    """

    learning_rate: float = 5e-3
    warmup_steps: int = 300
    weight_decay: float = 0.01
    clip_norm: float = 5.0
    ema_decay: float = 0.999
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    def __post_init__(self) -> None:
        rates = (self.learning_rate, self.clip_norm)
        if not 0 < min(rates) <= max(rates) <= MAX_RATE or not (
            0 <= self.weight_decay <= MAX_RATE and 0 <= self.ema_decay < 1
        ):
            raise ValueError(
                "learning_rate and clip_norm must be above 0, weight_decay at least 0, all at most "
                f"{MAX_RATE:,.0f}, ema_decay in [0, 1), got {self}"
            )

    def check_counts(self, *counts: int) -> None:
        """Checks numbers of steps and intervals.

        Raises:
            ValueError: If one of them is out of range.
        """
        if not 1 <= min(counts) <= max(counts) <= MAX_COUNT or not 0 <= self.warmup_steps <= MAX_COUNT:
            raise ValueError(
                f"steps, blocks and intervals must be at least 1, warmup_steps at least 0, all at most {MAX_COUNT:,}, "
                f"got {self}"
            )
