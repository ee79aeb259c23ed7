"""From the heatmap's peak to a probability: how often a detection of that confidence is right (IoU > 0.7).

A peak is trained to be high where a centre is, not to say how often the box will be right. Beta calibration learns
the way from one to the other, on scenes that training never saw: with peak p::

    score = sigmoid(a * log(p) - b * log(1 - p) + c)

a, b >= 0, so that a higher peak never means a lower score. Kull et al., "Beta Calibration", AISTATS 2017.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from torch import Tensor

BINS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The three numbers of a beta calibration; the defaults change nothing."""

    a: float = 1.0
    b: float = 1.0
    c: float = 0.0

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) for value in (self.a, self.b, self.c)) or min(self.a, self.b) < 0:
            raise ValueError(f"a calibration needs finite numbers, a and b at least 0, got {self}")

    def __call__(self, peaks: Tensor) -> Tensor:
        """Peaks in [0, 1] to scores in [0, 1], of any shape."""
        log, log_not = _features(peaks)
        return (self.a * log - self.b * log_not + self.c).sigmoid()


def fit_calibration(peaks: ArrayLike, right: ArrayLike) -> Calibration:
    """The calibration under which what was seen is most likely, with one more right and one more wrong detection.

    Without those two, samples that a threshold separates perfectly would make every score 0 or 1 (Platt 1999).

    Args:
        peaks: ``(N,)`` in [0, 1], the heatmap's peaks.
        right: ``(N,)`` bool, whether each detection was right.

    Raises:
        ValueError: If there are not both right and wrong detections to learn from.
    """
    from scipy.optimize import minimize  # here, since importing it takes longer than loading a detector

    values, hits = torch.as_tensor(np.asarray(peaks, dtype=np.float64)), np.asarray(right, dtype=bool)
    if values.shape != hits.shape or hits.all() or not hits.any():
        raise ValueError(
            f"calibration needs right and wrong detections, got {int(hits.sum())} right ones of {len(values)}; "
            "use more scenes, or a detector that has learned something"
        )
    log, log_not = (feature.numpy() for feature in _features(values))
    features = np.stack([log, -log_not, np.ones(len(hits))], axis=1)

    wanted = np.where(hits, (hits.sum() + 1) / (hits.sum() + 2), 1 / ((~hits).sum() + 2))

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = features @ weights
        error = expit(margin) - wanted
        return float(np.mean(np.logaddexp(0, margin) - wanted * margin)), features.T @ error / len(hits)

    bounds = [(0, None), (0, None), (None, None)]
    a, b, c = minimize(loss, np.array([1.0, 1.0, 0.0]), jac=True, bounds=bounds, method="L-BFGS-B").x.tolist()
    return Calibration(a=a, b=b, c=c)


def _features(peaks: Tensor) -> tuple[Tensor, Tensor]:
    peaks = peaks.clamp(1e-6, 1 - 1e-6)  # as far as single precision can tell peaks from 0 and 1
    return peaks.log(), (1 - peaks).log()


def reliability(scores: ArrayLike, right: ArrayLike) -> tuple[NDArray[np.int64], NDArray, NDArray]:
    """What a reliability diagram shows: in 15 equal bins of the score, how many, mean score, fraction right.

    Returns:
        Three arrays ``(15,)``; mean and fraction are 0 where a bin is empty.
    """
    values, hits = np.asarray(scores, dtype=np.float64), np.asarray(right, dtype=np.float64)
    place = np.minimum((values * BINS).astype(int), BINS - 1)
    count = np.bincount(place, minlength=BINS)
    mean, fraction = (np.bincount(place, weights, BINS) / np.maximum(count, 1) for weights in (values, hits))
    return count, mean, fraction


def calibration_error(scores: ArrayLike, right: ArrayLike) -> float:
    """Expected calibration error: mean distance of score and fraction right over the bins, weighted by their counts.

    Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015. 0 for no detections.
    """
    count, mean, fraction = reliability(scores, right)
    return float((count * np.abs(mean - fraction)).sum() / max(count.sum(), 1))
