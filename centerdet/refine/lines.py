"""The straight lines of an image, compiled: found greedily, those with the most evidence first."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from centerdet.refine.bresenham import PAD, blank_segment, compiled, edge_sum, segment_sum


@compiled
def likely_pairs(
    evidence: NDArray[np.float32], bright: NDArray[np.int64], least: float, longest: int = 90
) -> NDArray[np.int64]:
    """Pairs of bright pixels that a straight line may run through.

    Args:
        evidence: The map.
        bright: ``(n, 2)`` x and y of pixels that are surely drawn.
        least: Evidence that a stretch of the line must have.
        longest: Pairs further apart are left out, in px.

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
            if not 10 <= max(abs(x0 - x1), abs(y0 - y1)) <= longest:
                continue
            between = edge_sum(evidence, x0, y0, x1, y1)
            if between > evidence[y0 + PAD, x0 + PAD] and _best_stretch(evidence, x0, y0, x1, y1)[0] >= least:
                pairs[k, 0], pairs[k, 1], pairs[k, 2], pairs[k, 3] = x0, y0, x1, y1
                k += 1
    return pairs[:k]


@compiled
def find_segments(
    evidence: NDArray[np.float32], pairs: NDArray[np.int64], count: int, least: float
) -> NDArray[np.int64]:
    """Greedily, the straight segments with the most evidence; each explains its pixels, which then count no more.

    Args:
        evidence: The map; changed: 0 where a segment explains it.
        pairs: As ``likely_pairs`` gives them; segments are looked for along these.
        count: How many segments at most.
        least: Evidence that a segment must have.

    Returns:
        ``(k, 4)`` x, y, x, y.
    """
    np.random.seed(0)
    scores = np.zeros(len(pairs))
    for index in range(len(pairs)):
        x0, y0, x1, y1 = pairs[index]
        if evidence[y0 + PAD, x0 + PAD] > 0 and evidence[y1 + PAD, x1 + PAD] > 0:
            scores[index] = _best_stretch(evidence, x0, y0, x1, y1)[0]
    order = np.argsort(-scores)
    over = np.zeros(len(pairs), np.bool_)  # a segment explains an end of the pair
    found = np.empty((count, 4), np.int64)
    k = 0
    while k < count:
        best, ends = least, np.zeros(4, np.int64)
        for index in order:  # by their first scores, which hardly ever grow
            if scores[index] <= best:
                break
            x0, y0, x1, y1 = pairs[index]
            over[index] |= evidence[y0 + PAD, x0 + PAD] == 0 or evidence[y1 + PAD, x1 + PAD] == 0
            if over[index]:
                continue
            stretch = _best_stretch(evidence, x0, y0, x1, y1)
            if stretch[0] > best:
                best = stretch[0]
                ends[:] = stretch[1:]
        if best == least:
            break
        _polish(evidence, ends)
        blank_segment(evidence, ends)
        found[k] = ends
        k += 1
    return found[:k]


@compiled
def _best_stretch(
    evidence: NDArray[np.float32], x0: int, y0: int, x1: int, y1: int
) -> tuple[float, int, int, int, int]:
    """On the straight line through two pixels, the stretch with the most evidence (Kadane): its sum and its ends."""
    height, width = evidence.shape[0] - 2 * PAD, evidence.shape[1] - 2 * PAD
    flat = abs(x1 - x0) >= abs(y1 - y0)
    if not flat:
        x0, y0, x1, y1, height, width = y0, x0, y1, x1, width, height
    slope = (y1 - y0) / (x1 - x0)
    best, first, last, run, begin = 0.0, x0, x0, 0.0, 0
    for x in range(width):
        y = math.floor(y0 + slope * (x - x0) + 0.5)
        if 0 <= y < height:
            run += evidence[y + PAD, x + PAD] if flat else evidence[x + PAD, y + PAD]
        if run <= 0 or y < 0 or y >= height:
            run, begin = 0.0, x + 1
        elif run > best:
            best, first, last = run, begin, x
    y0, y1 = math.floor(y0 + slope * (first - x0) + 0.5), math.floor(y0 + slope * (last - x0) + 0.5)
    if flat:
        return best, first, y0, last, y1
    return best, y0, first, y1, last


@compiled
def _polish(evidence: NDArray[np.float32], ends: NDArray[np.int64], steps: int = 500) -> None:
    """Anneals a segment's ends: jitter of one or both, and longer or shorter along the segment's own direction."""
    width, height = evidence.shape[1] - 2 * PAD, evidence.shape[0] - 2 * PAD
    now, then = ends.copy(), ends.copy()
    value = best = segment_sum(evidence, ends)
    for i in range(steps):
        then[:] = now
        end = 2 * np.random.randint(2)
        kind = np.random.randint(3)
        if kind == 0:
            along = np.random.randn() * (3.0 if np.random.rand() < 0.6 else 15.0)
            across, down = now[end] - now[2 - end], now[end + 1] - now[3 - end]
            length = math.sqrt(across * across + down * down) + 1e-9
            then[end] += round(across / length * along)
            then[end + 1] += round(down / length * along)
        for k in range(4):
            if kind == 2 or k // 2 == end // 2:
                then[k] += np.random.randint(-1, 2)
        if min(then) < 0 or max(then[0], then[2]) >= width or max(then[1], then[3]) >= height:
            continue
        new = segment_sum(evidence, then)
        if new >= value or np.random.rand() < math.exp((new - value) / (2.0 - 1.9 * i / steps)):
            now[:], value = then, new
            if value > best:
                ends[:], best = now, value
