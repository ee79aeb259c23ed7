"""Answers and labels in any form that ``metrics.evaluate`` takes, turned into arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from centerdet.box import Detection, RotatedBox

Label = RotatedBox | None | ArrayLike

_NO_BOX = np.full(5, np.nan)


class Answer(NamedTuple):
    """A detector's answer to one image: box ``(5,)`` and score, NaN if nothing was found."""

    box: NDArray[np.float64]
    score: float
    has_heading: bool


def normalise(answer: Any) -> Answer:
    """Turns an answer in any form that ``evaluate`` takes into box, score and whether the yaw is a heading."""
    box, score, has_heading = answer, 1.0, True
    if isinstance(answer, Detection):
        box, score, has_heading = answer.box, answer.score, answer.has_heading
    if not 0 <= score <= 1:
        raise ValueError(f"a detection's score must lie in [0, 1], got {score}; make it a probability")
    array = as_array(box)
    return Answer(array, np.nan if np.isnan(array).any() else score, has_heading)


def as_array(box: Label) -> NDArray[np.float64]:
    """Turns a box in any form into ``(5,)``, NaN for "no box"."""
    if box is None:
        return _NO_BOX
    try:
        values = box.to_array() if isinstance(box, RotatedBox) else np.asarray(box, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.zeros(0)
    missing = np.isnan(values)
    if values.shape != (5,) or missing.any() != missing.all() or np.isinf(values).any():
        raise ValueError(f"a box is five finite numbers (x, y, yaw, width, height) or five NaN, got {box!r}")
    return values
