"""Metropolis chains over the outlines that may explain an image, compiled.

Metropolis et al., J. Chem. Phys. 21 (1953); annealing: Kirkpatrick et al., Science 220 (1983).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from centerdet.refine.bresenham import compiled
from centerdet.refine.outlines import IMPOSSIBLE, likelihood, log_prior, round_whole


@compiled
def _propose(now: NDArray[np.float64], then: NDArray[np.float64], outline: NDArray[np.float64], whole: bool) -> None:
    """A random step, seldom a long one: a shift; or another yaw, size or shape; a corner or an edge may stay put."""
    then[:] = now
    step = np.random.randn() * (1.0 if np.random.rand() < 0.6 else (3.0 if np.random.rand() < 0.85 else 8.0))
    whole_step = (1 if step > 0 else -1) * max(1.0, np.rint(abs(step))) if whole else step
    kind = np.random.randint(10)
    kept = np.random.randint(len(outline) + 1)  # a corner; the last: none
    if kind < 2:
        then[kind] += whole_step
        return
    if kind < 4:
        then[2] += 0.04 * step
    elif kind < 6:
        then[3] += whole_step
    elif kind == 6:
        then[4] += step
    elif kind == 7:
        then[5] += 0.5 * step
    elif kind == 8:
        then[3] += whole_step
        kept = np.random.randint(len(outline))
        _keep_edge(now, then, outline[kept], outline[(kept + 1) % len(outline)])
    else:
        kept = len(outline)
        for k, size in enumerate((0.7, 0.7, 0.03, 0.7, 0.8)):
            then[k] += size * np.random.randn()
    if kept < len(outline):
        u, v = outline[kept, 0] + now[5] * outline[kept, 2], outline[kept, 1] + now[5] * outline[kept, 3]
        for state, sign in ((now, 1.0), (then, -1.0)):
            cos, sin = math.cos(state[2]), math.sin(state[2])
            then[0] += sign * (u * state[3] * cos + v * state[4] * sin)
            then[1] += sign * (v * state[4] * cos - u * state[3] * sin)
    if whole:
        round_whole(then)


@compiled
def _keep_edge(
    now: NDArray[np.float64], then: NDArray[np.float64], corner: NDArray[np.float64], after: NDArray[np.float64]
) -> None:
    """Chooses height and yaw so that the edge between two corners keeps its length and direction at another width."""
    across, down = after[0] - corner[0] + now[5] * (after[2] - corner[2]), after[1] - corner[1]
    down += now[5] * (after[3] - corner[3])
    square = (across * now[3]) ** 2 + (down * now[4]) ** 2 - (across * then[3]) ** 2
    if square > 0 and abs(down) > 0.01:
        then[4] = math.sqrt(square) / abs(down)
        then[2] += math.atan2(across * now[3], down * now[4]) - math.atan2(across * then[3], down * then[4])


@compiled
def chain(
    evidence: NDArray[np.float32],
    start: NDArray[np.float64],
    outline: NDArray[np.float64],
    guess: NDArray[np.float64],
    spread: NDArray[np.float64],
    laws: NDArray[np.float64],
    whole: bool,
    steps: int,
    temperature: float,
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A Metropolis chain, cooled from a temperature down to 1.

    Returns:
        The best outline on its way ``(7,)``, log-posterior first, and the mean over its way ``(6,)``.
    """
    np.random.seed(seed)
    now, then = start.copy(), start.copy()
    value = log_prior(now, guess, spread, laws) + likelihood(evidence, now, outline)
    best = np.empty(7)
    best[0], best[1:] = value, now
    mean, sin, cos = np.zeros(6), 0.0, 0.0
    for i in range(steps):
        _propose(now, then, outline, whole)
        new = log_prior(then, guess, spread, laws)
        if new > IMPOSSIBLE:
            new += likelihood(evidence, then, outline)
            if new >= value or np.random.rand() < math.exp((new - value) / temperature ** (1 - i / steps)):
                now[:], value = then, new
                if value > best[0]:
                    best[0], best[1:] = value, now
        mean += now
        sin += math.sin(now[2])
        cos += math.cos(now[2])
    mean /= steps
    mean[2] = math.atan2(sin, cos)
    return best, mean
