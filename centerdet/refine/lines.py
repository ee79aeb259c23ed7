"""Straight lines of an image, found greedily, the one with the highest log-likelihood ratio first; compiled."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from centerdet.refine.bresenham import PAD, Segment, compiled, half_open_sum, mask_segment, segment_sum
from centerdet.refine.segments import Stretch, best_stretch, count_missed_beside, polish

_MIN_PAIR_DISTANCE = 10  # px: closer pixels do not fix a line's direction
_MAX_PAIR_DISTANCE = 60  # px: a line has closer pairs, too
_MIN_MEAN_LLR = 0.3  # nats a pixel between a pair: a line's pixels have 1.2 in the mean, the background's -0.5
_KEPT_FRACTION = 0.4  # of a line's score must lie outside a hypothetical outline, or the line is searched anew


class Pairs(NamedTuple):
    """Pairs of bright pixels that a straight line may run through, those with the highest scores first.

    Attributes:
        ends: ``(k, 4)`` x, y, x, y.
        scores: ``(k,)`` log-likelihood ratio of the best stretch of the line through each, nats.
        bright: ``(n, 2)`` x and y of all bright pixels.
    """

    ends: NDArray[np.int64]
    scores: NDArray[np.float64]
    bright: NDArray[np.int64]


class Lines(NamedTuple):
    """Lines in the order in which they were found: ends ``(k, 4)`` x, y, x, y, and scores ``(k,)``, nats."""

    ends: NDArray[np.int64]
    scores: NDArray[np.float64]


@compiled
def likely_pairs(llr: NDArray[np.float32], bright: NDArray[np.int64], min_score: float) -> Pairs:
    """Finds the pairs of bright pixels ``(n, 2)`` through which a line of at least ``min_score`` nats may run."""
    n = len(bright)
    ends, scores = np.empty((n * n // 2 + 1, 4), np.int64), np.empty(n * n // 2 + 1)
    k = 0
    for i in range(n):
        x0, y0 = bright[i]
        for j in range(i):
            x1, y1 = bright[j]
            distance = max(abs(x0 - x1), abs(y0 - y1))
            if not _MIN_PAIR_DISTANCE <= distance <= _MAX_PAIR_DISTANCE:
                continue
            if half_open_sum(llr, x0, y0, x1, y1) - llr[y0 + PAD, x0 + PAD] < _MIN_MEAN_LLR * distance:
                continue
            scores[k] = best_stretch(llr, x0, y0, x1, y1).score
            if scores[k] >= min_score:
                ends[k, 0], ends[k, 1], ends[k, 2], ends[k, 3] = x0, y0, x1, y1
                k += 1
    order = np.argsort(-scores[:k])
    return Pairs(ends[order], scores[order], bright)


@compiled
def find_lines(llr: NDArray[np.float32], pairs: Pairs, count: int, min_score: float, polish_steps: int) -> Lines:
    """Finds the segments with the highest log-likelihood ratios, greedily; each explains its pixels.

    What greediness can cost: a segment that was taken is never reconsidered. Where two lines cross at a small angle,
    or a line runs along an edge of the object, the first segment may take pixels of both, and the second one then falls
    short. Pairs are tried in the order of their scores before any segment was found, and the trial stops at the first
    one whose old score cannot win. That is exact as long as masking only lowers scores. It can raise one where masked
    pixels were darker than the background's mean; such a segment may be taken later than it should be, or not at all.

    Args:
        llr: The map; changed: 0 where a segment explains it.
        pairs: From ``likely_pairs`` on the same map, or on one where less was explained.
        count: Largest number of segments.
        min_score: Smallest sum of log-likelihood ratios of a segment, nats.
        polish_steps: Metropolis steps on a segment's ends.
    """
    np.random.seed(0)
    explained = np.zeros(len(pairs.scores), np.bool_)  # an end of the pair lies on a segment that was found
    ends, scores = np.empty((count, 4), np.int64), np.empty(count)
    for k in range(count):
        best = _best_pair(llr, pairs, explained, min_score)
        if best.score == min_score:
            return Lines(ends[:k], scores[:k])
        best = polish(llr, pairs.bright, best.segment, polish_steps)
        mask_segment(llr, best.segment)
        ends[k], scores[k] = best.segment, best.score
    return Lines(ends, scores)


@compiled
def refit_lines(
    llr: NDArray[np.float32], lines: Lines, pairs: Pairs, count: int, min_score: float, polish_steps: int
) -> Lines:
    """Adapts the lines of an image to a map where an outline's surroundings are 0, without searching all of them anew.

    Lines that lose little of their score are kept. The others are replaced by the best that ``find_lines`` finds.

    Args:
        llr: The map; changed: 0 where a line explains it.
        lines: Found on the map without an outline.
        pairs: As for ``find_lines``.
        count: Largest number of lines.
        min_score: Smallest sum of log-likelihood ratios of a line, nats.
        polish_steps: Metropolis steps on the ends of a new line.
    """
    ends, scores = np.empty((count, 4), np.int64), np.empty(count)
    kept = 0
    for k in range(len(lines.scores)):
        x0, y0, x1, y1 = lines.ends[k]
        segment = Segment(x0, y0, x1, y1)
        score = segment_sum(llr, segment)
        if score >= min_score and score >= _KEPT_FRACTION * lines.scores[k]:
            mask_segment(llr, segment)
            ends[kept], scores[kept] = segment, score
            kept += 1
    if kept < count:
        more = find_lines(llr, pairs, count - kept, min_score, polish_steps)
        total = kept + len(more.scores)
        ends[kept:total], scores[kept:total] = more.ends, more.scores
        kept = total
    return Lines(ends[:kept], scores[:kept])


@compiled
def improve_lines(
    llr: NDArray[np.float32], lines: Lines, pairs: Pairs, count: int, min_score: float, polish_steps: int
) -> Lines:
    """Anneals every line for longer, given the others, and then looks for further ones.

    Args:
        llr: The map; changed: 0 where a line explains it.
        lines: The lines so far.
        pairs: As for ``find_lines``.
        count: Largest number of lines.
        min_score: Smallest sum of log-likelihood ratios of a line, nats.
        polish_steps: Metropolis steps on a line's ends.
    """
    np.random.seed(1)
    original = llr.copy()
    ends = lines.ends.copy()
    mask_lines(llr, lines)
    for k in range(len(ends)):
        x0, y0, x1, y1 = ends[k]
        segment = Segment(x0, y0, x1, y1)
        if count_missed_beside(llr, pairs.bright, segment) > 0:
            llr[:] = original
            for other in range(len(ends)):
                if other != k:
                    x0, y0, x1, y1 = ends[other]
                    mask_segment(llr, Segment(x0, y0, x1, y1))
            segment = polish(llr, pairs.bright, segment, polish_steps).segment
            mask_segment(llr, segment)
            ends[k] = segment
    llr[:] = original
    return refit_lines(llr, Lines(ends, np.zeros(len(ends))), pairs, count, min_score, polish_steps)


@compiled
def mask_lines(llr: NDArray[np.float32], lines: Lines) -> None:
    """Sets the pixels of lines to 0."""
    for x0, y0, x1, y1 in lines.ends:
        mask_segment(llr, Segment(x0, y0, x1, y1))


@compiled
def _best_pair(llr: NDArray[np.float32], pairs: Pairs, explained: NDArray[np.bool_], min_score: float) -> Stretch:
    """Best stretch on the lines through pairs that are not explained yet; its score is ``min_score`` if none is."""
    best = Stretch(min_score, Segment(0, 0, 0, 0))
    for index in range(len(pairs.scores)):
        if pairs.scores[index] <= best.score:
            break
        if explained[index]:
            continue
        x0, y0, x1, y1 = pairs.ends[index]
        explained[index] = llr[y0 + PAD, x0 + PAD] == 0 or llr[y1 + PAD, x1 + PAD] == 0
        if not explained[index]:
            stretch = best_stretch(llr, x0, y0, x1, y1)
            if stretch.score > best.score:
                best = stretch
    return best
