"""Fits one straight segment to the pixels of a line, compiled with numba."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from centerdet.refine.bresenham import PAD, Segment, compiled, segment_sum

_POLISH_START, _POLISH_COOLING = 2.0, 1.9  # nats: temperature of the first step, and how far it falls
_MAX_ROUNDS = 3  # of annealing a segment's ends
_BESIDE = 2  # px: a bright pixel so near a segment suggests that the segment is a pixel off
_FIXED_HALF = 1 << 31  # one half, in numbers with 32 bits behind the point


class Stretch(NamedTuple):
    """A segment and the sum of log-likelihood ratios along it, nats."""

    score: float
    segment: Segment


@compiled
def best_stretch(llr: NDArray[np.float32], x0: int, y0: int, x1: int, y1: int) -> Stretch:
    """The stretch with the highest sum on the straight line through two pixels (Kadane's algorithm)."""
    height, width = llr.shape[0] - 2 * PAD, llr.shape[1] - 2 * PAD
    columns = llr.shape[1]
    flat = llr.reshape(-1)
    steep = abs(y1 - y0) > abs(x1 - x0)
    along, aside = 1, columns
    if steep:
        x0, y0, x1, y1, width, height = y0, x0, y1, x1, height, width
        along, aside = columns, 1
    slope = int((y1 - y0) / (x1 - x0) * 2.0**32)
    y = (y0 << 32) + _FIXED_HALF - slope * x0  # at x = 0
    origin = PAD * columns + PAD
    best, first, last, run, begin = np.float32(0), x0, x0, np.float32(0), 0
    for x in range(width):
        row = y >> 32
        y += slope
        if row < 0 or row >= height:
            run, begin = np.float32(0), x + 1
            continue
        run += flat[np.uint64(origin + x * along + row * aside)]
        if run <= 0:
            run, begin = np.float32(0), x + 1
        elif run > best:
            best, first, last = run, begin, x
    y = (y0 << 32) + _FIXED_HALF - slope * x0
    y_first, y_last = (y + slope * first) >> 32, (y + slope * last) >> 32
    if steep:
        return Stretch(np.float64(best), Segment(y_first, first, y_last, last))
    return Stretch(np.float64(best), Segment(first, y_first, last, y_last))


@compiled
def polish(llr: NDArray[np.float32], bright: NDArray[np.int64], segment: Segment, steps: int) -> Stretch:
    """Anneals a segment's ends, again and again as long as it misses bright pixels beside it."""
    best = Stretch(segment_sum(llr, segment), segment)
    for _ in range(_MAX_ROUNDS):
        best = _anneal_ends(llr, best, steps)
        if count_missed_beside(llr, bright, best.segment) == 0:
            break
    return best


@compiled
def count_missed_beside(llr: NDArray[np.float32], bright: NDArray[np.int64], segment: Segment) -> int:
    """How many of the bright pixels that nothing explains lie a pixel or two beside a segment."""
    x0, y0, x1, y1 = segment
    steep = abs(y1 - y0) > abs(x1 - x0)
    if steep:
        x0, y0, x1, y1 = y0, x0, y1, x1
    slope = (y1 - y0) / (x1 - x0) if x1 != x0 else 0.0
    missed = 0
    for x, y in bright:
        if llr[y + PAD, x + PAD] <= 0:
            continue
        along, aside = (y, x) if steep else (x, y)
        if min(x0, x1) - _BESIDE <= along <= max(x0, x1) + _BESIDE:
            distance = abs(aside - math.floor(y0 + slope * (along - x0) + 0.5))
            beyond = along < min(x0, x1) or along > max(x0, x1)
            missed += (beyond or distance > 0) and distance <= _BESIDE
    return missed


@compiled
def _anneal_ends(llr: NDArray[np.float32], start: Stretch, steps: int) -> Stretch:
    """Anneals a segment's ends by random moves of ``_move_ends``."""
    width, height = llr.shape[1] - 2 * PAD, llr.shape[0] - 2 * PAD
    now = best = start.segment
    score = best_score = start.score
    for i in range(steps):
        new = _move_ends(now)
        if min(new) < 0 or max(new.x0, new.x1) >= width or max(new.y0, new.y1) >= height:
            continue
        new_score = segment_sum(llr, new)
        temperature = _POLISH_START - _POLISH_COOLING * i / steps
        if new_score >= score or np.random.rand() < math.exp((new_score - score) / temperature):
            now, score = new, new_score
            if score > best_score:
                best, best_score = now, score
    return Stretch(best_score, best)


@compiled
def _move_ends(now: Segment) -> Segment:
    """Moves the ends across the segment by a pixel, or one of them along it."""
    x0, y0, x1, y1 = now
    steep = abs(y1 - y0) > abs(x1 - x0)
    if steep:
        x0, y0, x1, y1 = y0, x0, y1, x1
    first = np.random.rand() < 0.5  # which end moves
    kind = np.random.rand()
    side = 1 if np.random.rand() < 0.5 else -1
    if kind < 0.35:
        if first:
            y0 += side
        else:
            y1 += side
    elif kind < 0.5:
        y0 += side
        y1 += side if first else -side
    else:
        along = np.random.randn() * (2.0 if kind < 0.9 else 15.0)  # px
        step = int(np.rint(along)) if abs(along) > 1 else side
        slope = (y1 - y0) / (x1 - x0) if x1 != x0 else 0.0
        aside = int(np.floor(slope * step + np.random.rand()))
        if first:
            x0, y0 = x0 + step, y0 + aside
        else:
            x1, y1 = x1 + step, y1 + aside
    return Segment(y0, x0, y1, x1) if steep else Segment(x0, y0, x1, y1)
