"""Straight lines of an image, found greedily, the one with the highest log-likelihood ratio first; compiled."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from centerdet.refine.bresenham import PAD, Segment, compiled, half_open_sum, mask_segment, segment_sum

_MIN_PAIR_DISTANCE = 10  # px: closer pixels do not fix a line's direction
_POLISH_STEPS = 500  # Metropolis steps on a segment's ends
_POLISH_START, _POLISH_COOLING = 2.0, 1.9  # temperature of the first step, and how far it falls; nats


class Stretch(NamedTuple):
    """A segment and the sum of log-likelihood ratios along it, nats."""

    score: float
    segment: Segment


@compiled
def likely_pairs(
    llr: NDArray[np.float32], bright: NDArray[np.int64], min_score: float, max_distance: int = 90
) -> NDArray[np.int64]:
    """Pairs of bright pixels that a straight line may run through.

    Args:
        llr: The map of log-likelihood ratios.
        bright: ``(n, 2)`` x and y of pixels that are surely drawn.
        min_score: Sum of log-likelihood ratios that some stretch of the line must have, nats.
        max_distance: Pairs farther apart are left out, px.

    Returns:
        ``(k, 4)`` x, y, x, y.
    """
    n = len(bright)
    pairs = np.empty((n * n // 2 + 1, 4), np.int64)
    k = 0
    for i in range(n):
        x0, y0 = bright[i]
        for j in range(i):
            x1, y1 = bright[j]
            if not _MIN_PAIR_DISTANCE <= max(abs(x0 - x1), abs(y0 - y1)) <= max_distance:
                continue
            between = half_open_sum(llr, x0, y0, x1, y1)
            if between > llr[y0 + PAD, x0 + PAD] and _best_stretch(llr, x0, y0, x1, y1).score >= min_score:
                pairs[k, 0], pairs[k, 1], pairs[k, 2], pairs[k, 3] = x0, y0, x1, y1
                k += 1
    return pairs[:k]


@compiled
def find_segments(
    llr: NDArray[np.float32], pairs: NDArray[np.int64], count: int, min_score: float
) -> NDArray[np.int64]:
    """Finds the segments with the highest log-likelihood ratios, greedily; each explains its pixels.

    What greediness can cost: a segment that was taken is never reconsidered. Where two lines cross at a small angle,
    or a line runs along an edge of the object, the first segment may take pixels of both, and the second one then falls
    short. Pairs are tried in the order of their scores before any segment was found, and the trial stops at the first
    one whose old score cannot win. That is exact as long as masking only lowers scores. It can raise one where masked
    pixels were darker than the background's mean; such a segment may be taken later than it should be, or not at all.

    Args:
        llr: The map; changed: 0 where a segment explains it.
        pairs: From ``likely_pairs``; only lines through these are tried.
        count: Largest number of segments.
        min_score: Smallest sum of log-likelihood ratios of a segment, nats.

    Returns:
        ``(k, 4)`` x, y, x, y.
    """
    np.random.seed(0)
    scores = _pair_scores(llr, pairs)
    order = np.argsort(-scores)
    explained = np.zeros(len(pairs), np.bool_)  # an end of the pair lies on a segment that was found
    found = np.empty((count, 4), np.int64)
    for k in range(count):
        best = _best_pair(llr, pairs, scores, order, explained, min_score)
        if best.score == min_score:
            return found[:k]
        segment = _polish(llr, best.segment)
        mask_segment(llr, segment)
        found[k] = segment
    return found


@compiled
def _pair_scores(llr: NDArray[np.float32], pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Best score of the line through each pair; 0 where an end is explained already."""
    scores = np.zeros(len(pairs))
    for index in range(len(pairs)):
        x0, y0, x1, y1 = pairs[index]
        if llr[y0 + PAD, x0 + PAD] > 0 and llr[y1 + PAD, x1 + PAD] > 0:
            scores[index] = _best_stretch(llr, x0, y0, x1, y1).score
    return scores


@compiled
def _best_pair(
    llr: NDArray[np.float32],
    pairs: NDArray[np.int64],
    scores: NDArray[np.float64],
    order: NDArray[np.int64],
    explained: NDArray[np.bool_],
    min_score: float,
) -> Stretch:
    """Best stretch on the lines through pairs that are not explained yet; its score is ``min_score`` if none is."""
    best = Stretch(min_score, Segment(0, 0, 0, 0))
    for index in order:
        if scores[index] <= best.score:
            break
        x0, y0, x1, y1 = pairs[index]
        explained[index] |= llr[y0 + PAD, x0 + PAD] == 0 or llr[y1 + PAD, x1 + PAD] == 0
        if explained[index]:
            continue
        stretch = _best_stretch(llr, x0, y0, x1, y1)
        if stretch.score > best.score:
            best = stretch
    return best


@compiled
def _best_stretch(llr: NDArray[np.float32], x0: int, y0: int, x1: int, y1: int) -> Stretch:
    """The stretch with the highest sum on the straight line through two pixels (Kadane's algorithm)."""
    height, width = llr.shape[0] - 2 * PAD, llr.shape[1] - 2 * PAD
    flat = abs(x1 - x0) >= abs(y1 - y0)
    if not flat:
        x0, y0, x1, y1, height, width = y0, x0, y1, x1, width, height
    slope = (y1 - y0) / (x1 - x0)
    best, first, last, run, begin = 0.0, x0, x0, 0.0, 0
    for x in range(width):
        y = math.floor(y0 + slope * (x - x0) + 0.5)
        if 0 <= y < height:
            run += llr[y + PAD, x + PAD] if flat else llr[x + PAD, y + PAD]
        if run <= 0 or y < 0 or y >= height:
            run, begin = 0.0, x + 1
        elif run > best:
            best, first, last = run, begin, x
    y0, y1 = math.floor(y0 + slope * (first - x0) + 0.5), math.floor(y0 + slope * (last - x0) + 0.5)
    if flat:
        return Stretch(best, Segment(first, y0, last, y1))
    return Stretch(best, Segment(y0, first, y1, last))


@compiled
def _polish(llr: NDArray[np.float32], segment: Segment) -> Segment:
    """Anneals a segment's ends by random moves of ``_move_ends``."""
    width, height = llr.shape[1] - 2 * PAD, llr.shape[0] - 2 * PAD
    now = best = segment
    score = best_score = segment_sum(llr, segment)
    for i in range(_POLISH_STEPS):
        new = _move_ends(now)
        if min(new) < 0 or max(new.x0, new.x1) >= width or max(new.y0, new.y1) >= height:
            continue
        new_score = segment_sum(llr, new)
        temperature = _POLISH_START - _POLISH_COOLING * i / _POLISH_STEPS
        if new_score >= score or np.random.rand() < math.exp((new_score - score) / temperature):
            now, score = new, new_score
            if score > best_score:
                best, best_score = now, score
    return best


@compiled
def _move_ends(now: Segment) -> Segment:
    """Moves one end by a pixel, or along the segment and by a pixel, or both ends by a pixel; a third each."""
    x0, y0, x1, y1 = now
    first = np.random.randint(2) == 0  # which end moves
    kind = np.random.randint(3)
    if kind == 0:
        along = np.random.randn() * (3.0 if np.random.rand() < 0.6 else 15.0)  # px
        length = math.sqrt((x1 - x0) * (x1 - x0) + (y1 - y0) * (y1 - y0)) + 1e-9
        if first:
            x0, y0 = x0 + round((now.x0 - now.x1) / length * along), y0 + round((now.y0 - now.y1) / length * along)
        else:
            x1, y1 = x1 + round((now.x1 - now.x0) / length * along), y1 + round((now.y1 - now.y0) / length * along)
    if first or kind == 2:
        x0 += np.random.randint(-1, 2)
        y0 += np.random.randint(-1, 2)
    if not first or kind == 2:
        x1 += np.random.randint(-1, 2)
        y1 += np.random.randint(-1, 2)
    return Segment(x0, y0, x1, y1)
