"""What the search compares: outlines with the lines beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from centerdet.refine.lines import Lines
from centerdet.refine.outlines import Outline


class Candidate(NamedTuple):
    """An outline with the lines beside it.

    Attributes:
        outline: Its parameters.
        lines: The lines beside it.
        masked: The log-likelihood ratios without the lines' pixels.
        log_posterior: Of outline and lines, nats.
        unexplained: Number of bright pixels that neither explains.
    """

    outline: Outline
    lines: Lines
    masked: NDArray[np.float32]
    log_posterior: float
    unexplained: int


def distinct(outlines: Sequence[Outline], spread: Outline, distance: float, count: int) -> list[Outline]:
    """The first ``count`` that differ from each one before by over ``distance`` spreads in some box parameter."""
    kept: list[Outline] = []
    for outline in outlines:
        if all(box_distance(outline, other, spread) > distance for other in kept):
            kept.append(outline)
        if len(kept) == count:
            break
    return kept


def box_distance(outline: Outline, other: Outline, spread: Outline) -> float:
    """The largest difference of two boxes' parameters, in spreads."""
    turn = 2 * math.sin((outline.yaw - other.yaw) / 2)
    return max(
        abs(outline.x - other.x) / spread.x,
        abs(outline.y - other.y) / spread.y,
        abs(turn) / spread.yaw,
        abs(outline.width - other.width) / spread.width,
        abs(outline.height - other.height) / spread.height,
    )
