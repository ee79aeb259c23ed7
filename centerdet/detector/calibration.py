"""Calibration: turns a heatmap's peak into the probability that the detection is correct (IoU > 0.7).

Training makes a peak high at a centre; it does not make the peak a probability. Beta calibration fits the mapping to
scenes that training never saw. With peak p::

    score = sigmoid(a * log(p) - b * log(1 - p) + c)

with a, b >= 0, so that a higher peak never gets a lower score. Kull et al., "Beta Calibration", AISTATS 2017.
"""

from __future__ import annotations

import numbers
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from torch import Tensor

NUM_BINS = 15  # of a reliability diagram, as in Guo et al., "On Calibration of Modern Neural Networks", ICML 2017
MAX_PARAMETER = 1e9  # of a calibration: larger ones overflow in single precision; useful ones are below 100
MIN_PEAK = 1e-6  # keeps the logarithms of p and 1 - p accurate in single precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Parameters of a beta calibration; the defaults leave peaks unchanged."""

    a: float = 1.0
    b: float = 1.0
    c: float = 0.0

    def __post_init__(self) -> None:
        values = (self.a, self.b, self.c)
        if not all(isinstance(value, numbers.Real) and abs(value) <= MAX_PARAMETER for value in values) or (
            min(self.a, self.b) < 0
        ):
            raise ValueError(
                f"a calibration needs numbers of at most {MAX_PARAMETER:g}, a and b at least 0, got {str(values)[:80]}"
            )

    def __call__(self, peaks: Tensor) -> Tensor:
        """Maps peaks in [0, 1] to scores in [0, 1], of any shape."""
        log, log_not = _features(peaks)
        return (self.a * log - self.b * log_not + self.c).sigmoid()


def fit_calibration(peaks: ArrayLike, correct: ArrayLike) -> Calibration:
    """Fits a calibration by maximum likelihood, with one more correct and one more wrong detection.

    Without these two, samples that a threshold separates perfectly would make every score 0 or 1 (Platt 1999).

    Args:
        peaks: ``(N,)`` in [0, 1], the heatmap's peaks.
        correct: ``(N,)`` bool, whether each detection was correct.

    Raises:
        ValueError: If there are not both correct and wrong detections.
    """
    from scipy.optimize import minimize  # here, since importing it takes longer than loading a detector

    values, hits = torch.as_tensor(np.asarray(peaks, dtype=np.float64)), np.asarray(correct, dtype=bool)
    if values.shape != hits.shape or hits.all() or not hits.any():
        raise ValueError(
            f"calibration needs correct and wrong detections, got {int(hits.sum())} correct ones of {len(values)}; "
            "use more scenes, or a better trained detector"
        )
    log, log_not = (feature.numpy() for feature in _features(values))
    features = np.stack([log, -log_not, np.ones(len(hits))], axis=1)  # (N, 3)
    wanted = np.where(hits, (hits.sum() + 1) / (hits.sum() + 2), 1 / ((~hits).sum() + 2))  # (N,) smoothed labels

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = features @ weights
        error = expit(margin) - wanted
        return float(np.mean(np.logaddexp(0, margin) - wanted * margin)), features.T @ error / len(hits)

    bounds = [(0, None), (0, None), (None, None)]
    a, b, c = minimize(loss, np.array([1.0, 1.0, 0.0]), jac=True, bounds=bounds, method="L-BFGS-B").x.tolist()
    return Calibration(a=a, b=b, c=c)


def _features(peaks: Tensor) -> tuple[Tensor, Tensor]:
    peaks = peaks.clamp(MIN_PEAK, 1 - MIN_PEAK)
    return peaks.log(), (1 - peaks).log()


def reliability(scores: ArrayLike, correct: ArrayLike) -> tuple[NDArray[np.int64], NDArray, NDArray]:
    """Computes a reliability diagram: count, mean score and fraction correct in 15 equal bins of the score.

    Returns:
        Three arrays ``(15,)``; mean and fraction are 0 in an empty bin.
    """
    values, hits = np.asarray(scores, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    bins = np.minimum((values * NUM_BINS).astype(int), NUM_BINS - 1)
    count = np.bincount(bins, minlength=NUM_BINS)
    mean, fraction = (np.bincount(bins, weights, NUM_BINS) / np.maximum(count, 1) for weights in (values, hits))
    return count, mean, fraction


def calibration_error(scores: ArrayLike, correct: ArrayLike) -> float:
    """Expected calibration error: distance of mean score and fraction correct, averaged over all detections.

    Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015. 0 without detections.
    """
    count, mean, fraction = reliability(scores, correct)
    return float((count * np.abs(mean - fraction)).sum() / max(count.sum(), 1))
