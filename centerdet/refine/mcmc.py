"""Metropolis chains over outlines, compiled with numba.

Metropolis et al., J. Chem. Phys. 21 (1953); simulated annealing: Kirkpatrick et al., Science 220 (1983).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from centerdet.refine.bresenham import compiled
from centerdet.refine.moves import propose
from centerdet.refine.outlines import IMPOSSIBLE, Outline, OutlinePrior, Vertices, log_likelihood, log_prior


class Annealed(NamedTuple):
    """The best outline on a chain's way, and its log-posterior, nats."""

    log_posterior: float
    outline: Outline


@compiled
def anneal(
    llr: NDArray[np.float32],
    start: Outline,
    vertices: Vertices,
    prior: OutlinePrior,
    integer_coordinates: bool,
    steps: int,
    temperature: float,
    seed: int,
) -> Annealed:
    """Runs a Metropolis chain that cools from a temperature down to 1."""
    np.random.seed(seed)
    now = best = start
    value = best_value = log_prior(now, prior) + log_likelihood(llr, now, vertices)
    cooling = temperature ** (-1 / steps)
    for _ in range(steps):
        temperature *= cooling
        new = propose(now, vertices, integer_coordinates)
        new_value = log_prior(new, prior)
        if new_value > IMPOSSIBLE:
            new_value += log_likelihood(llr, new, vertices)
            if new_value >= value or np.random.rand() < math.exp((new_value - value) / temperature):
                now, value = new, new_value
                if value > best_value:
                    best, best_value = now, value
    return Annealed(best_value, best)


@compiled
def posterior_mean(
    llr: NDArray[np.float32],
    start: Outline,
    vertices: Vertices,
    prior: OutlinePrior,
    integer_coordinates: bool,
    steps: int,
) -> Outline:
    """Mean of the outlines on a Metropolis chain's way at temperature 1.

    Each step counts with the mean of its two outcomes, not with the one that was drawn (Rao-Blackwell).
    """
    np.random.seed(0)
    now = start
    value = log_prior(now, prior) + log_likelihood(llr, now, vertices)
    x = y = width = height = shape = sin = cos = 0.0
    for _ in range(steps):
        new = propose(now, vertices, integer_coordinates)
        new_value = log_prior(new, prior)
        if new_value > IMPOSSIBLE:
            new_value += log_likelihood(llr, new, vertices)
        accept = math.exp(min(0.0, new_value - value))
        stay = 1 - accept
        x, y = x + stay * now.x + accept * new.x, y + stay * now.y + accept * new.y
        width, height = width + stay * now.width + accept * new.width, height + stay * now.height + accept * new.height
        shape += stay * now.shape + accept * new.shape
        sin += stay * math.sin(now.yaw) + accept * math.sin(new.yaw)
        cos += stay * math.cos(now.yaw) + accept * math.cos(new.yaw)
        if np.random.rand() < accept:
            now, value = new, new_value
    return Outline(x / steps, y / steps, math.atan2(sin, cos), width / steps, height / steps, shape / steps)
