"""A second look at a detection by the scene's own laws: which outline near it explains the pixels?

Straight lines and an outline explain an image together. Lines alone are tried first: where they leave nothing over,
there is no object. Else outlines are drawn around the guess, the best of them annealed, and then lines and outline are
found in turn, each in what the other leaves over. Where the answer is not convincing, the search goes further afield;
of all answers the most probable one wins. The refined box is the posterior mean around it.

The laws are those of ``ScenePrior``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from centerdet.box import RotatedBox
from centerdet.preprocessing import to_unit_range
from centerdet.refine.bresenham import PAD, blank_segment
from centerdet.refine.lines import find_segments, likely_pairs
from centerdet.refine.mcmc import chain
from centerdet.refine.outlines import cover, likelihood, log_prior, screen
from centerdet.refine.prior import ScenePrior

_SURPRISE = 6.0  # nats: what it costs to leave a pixel above the noise unexplained
_LINE = 14.0  # nats: the least evidence for a line
_LONG_LINE = 45.0  # nats: what an edge of the outline seldom has
_HAZE = 3.0  # nats: the most that a pixel counts where outlines are a pixel off
_FEW = 4  # so many bright pixels may be left over where all was found: short lines, lines that are a pixel off
_SURE = 60.0  # nats: what an outline gains that need not be looked for elsewhere
_SCREENED = 300  # outlines that a screening keeps


class Fit(NamedTuple):
    """An outline's box, and how well outline and lines explain the image.

    Attributes:
        box: Posterior mean.
        gain: How much more probable outline and lines are than lines alone, nats.
        unexplained: Pixels above the noise that nothing explains.
    """

    box: RotatedBox
    gain: float
    unexplained: int


class _Puzzle(NamedTuple):
    """An image: its evidence, x and y of its bright pixels, pairs of them that lines may join, where boxes may be."""

    evidence: NDArray[np.float32]
    bright: NDArray[np.int64]
    pairs: NDArray[np.int64]
    laws: NDArray[np.float64]
    guess: NDArray[np.float64]


class _Answer(NamedTuple):
    """An outline, what lines leave of the evidence beside it, how probable both are (nats), what they leave over."""

    outline: NDArray[np.float64]
    masked: NDArray[np.float32]
    value: float
    unexplained: int

    def convinces(self, value: float) -> bool:
        """Whether it need not be looked for elsewhere."""
        return self.value >= value and self.unexplained <= 1.5 * _FEW


class Refiner:
    """Refines detections on scenes whose laws are known.

    Args:
        facts: The laws.
        candidates: Outlines drawn around a guess.
        more: Outlines drawn further around it where those do not convince.
        chains: How many of them are annealed.
        steps: Length of each chain.
        spread: Typical errors of a guess: x, y (px), yaw (rad), width, height (px).
    """

    def __init__(
        self,
        facts: ScenePrior | None = None,
        *,
        candidates: int = 8_000,
        more: int = 200_000,
        chains: int = 8,
        steps: int = 1500,
        spread: tuple[float, float, float, float, float] = (2.5, 2.5, 0.12, 3.0, 4.0),
    ) -> None:
        if min(candidates, more, chains, steps) < 1 or min(spread) <= 0:
            raise ValueError("candidates, more, chains and steps must be at least 1, spread above 0")
        self.facts = facts or ScenePrior()
        self.chains, self.steps = chains, steps
        self._spread = np.array([*spread, 1.0])  # the last: of shape
        self._outline = np.hstack([self.facts.outline, self.facts.vertex_std])
        random = np.random.default_rng(0)
        self._near = random.standard_normal((candidates, 6), np.float32)
        self._near[::4, :5] *= 2
        self._near[0] = 0
        self._far = random.standard_normal((more, 6), np.float32) * np.float32([1.8, 1.8, 2.5, 2.0, 2.2, 1.0])
        self._far[: more // 4, 2] += math.pi / self._spread[2]  # nose and tail confused
        self._far[more // 2 :, 2] *= 4 * math.pi / (2.5 * self._spread[2])  # any yaw

    def refine_batch(
        self, images: Sequence[ArrayLike], guesses: Sequence[Sequence[RotatedBox]], *, threads: int = 1
    ) -> list[Fit | None]:
        """As ``refine``, for many images; the answers do not depend on the number of threads."""
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(self.refine, images, guesses))

    def refine(self, image: ArrayLike, guesses: Sequence[RotatedBox]) -> Fit | None:
        """What an image holds, given about where; ``None`` where lines alone explain it.

        Args:
            image: As ``Detector.detect`` takes it.
            guesses: At least one box, however unlikely; the likeliest first.

        Raises:
            ValueError: If the image is not as ``Detector.detect`` wants it, or there is no guess.
        """
        if not guesses:
            raise ValueError("refining needs at least one guess, got none")
        puzzle = self._puzzle(to_unit_range(image), guesses[0])
        alone = puzzle.evidence.copy()
        find_segments(alone, puzzle.pairs, self.facts.num_lines, _LINE)
        left = _left(alone, puzzle.bright)
        if len(left) <= _FEW:
            return None
        lines_alone = float(puzzle.evidence.sum() - alone.sum())
        best = self._attempt(puzzle, puzzle.guess, self._near, 1)
        if not best.convinces(lines_alone + _SURE):
            starts = [self._attempt(puzzle, np.array([*box.to_array(), 0.0]), self._near, 1) for box in guesses[1:]]
            best = max([best, *starts, self._attempt(puzzle, puzzle.guess, self._far, 5)], key=_value)
        if not best.convinces(lines_alone + _SURE / 2):
            middle = np.array([*np.median(left, axis=0), *puzzle.guess[2:]])  # of what lines cannot explain
            best = max(best, self._attempt(puzzle, middle, self._far, 3), key=_value)
        _, mean = chain(best.masked, best.outline, *self._around(puzzle, puzzle.guess), 4 * self.steps, 1.0, 0)
        return Fit(box=RotatedBox(*mean[:5].tolist()), gain=best.value - lines_alone, unexplained=best.unexplained)

    def _attempt(self, puzzle: _Puzzle, start: NDArray, draws: NDArray, keep: int) -> _Answer:
        """The most probable of the ``keep`` best outlines that a search around a start comes to."""
        start = self._allowed(start, puzzle.laws)
        masked = self._without_lines(puzzle, start, 3, _LONG_LINE)  # short lines may be edges
        # Where an edge may be a pixel off, the likelihoods of its neighbours are averaged.
        hazy = np.log(cv2.GaussianBlur(np.exp(np.minimum(masked, np.float32(_HAZE))), (0, 0), 0.7))
        around = self._around(puzzle, start)
        ends = []
        screened = screen(hazy, self._outline, start, self._spread, puzzle.laws, draws, _SCREENED)
        for number, one in enumerate(self._distinct(screened, 0.7, self.chains)):
            near, _ = chain(hazy, self._allowed(one, puzzle.laws), *around, self.steps // 4, 3.0, number)
            ends.append(chain(masked, near[1:], *around, self.steps, 3.0, number)[0])
        ends.sort(key=lambda end: -end[0])
        outlines = self._distinct([end[1:] for end in ends] or [start], 1.0, keep)
        return max((self._settle(puzzle, outline) for outline in outlines), key=_value)

    def _settle(self, puzzle: _Puzzle, outline: NDArray) -> _Answer:
        """Lines and outline in turn, from an outline on, for as long as both become more probable."""
        around = self._around(puzzle, puzzle.guess)
        answer: _Answer | None = None
        while True:
            masked = self._without_lines(puzzle, outline, 2, _LINE)
            ends = (chain(masked, outline, *around, self.steps, 2.0, number)[0] for number in range(2))
            outline = max(ends, key=lambda end: end[0])[1:]
            value = float(puzzle.evidence.sum() - masked.sum()) + likelihood(masked, outline, self._outline)
            value += log_prior(outline, *around[1:4])
            if answer is not None and value < answer.value + 1:
                return answer
            rest = masked.copy()
            cover(rest, outline, self._outline, 0)
            answer = _Answer(outline, masked, value, len(_left(rest, puzzle.bright)))
            if answer.unexplained <= _FEW // 2:
                return answer

    def _puzzle(self, pixels: NDArray[np.float32], guess: RotatedBox) -> _Puzzle:
        """The map of log-likelihood ratios, padded, and all else that does not change during a search."""
        pixels = np.ascontiguousarray(pixels)
        above = pixels > self.facts.noise_level
        dark = np.log(np.maximum(2 * pixels, 0.03))  # the larger of two uniforms: density 2 v / n against 1 / n
        evidence = np.pad(np.where(above, np.float32(_SURPRISE), dark), PAD)
        y, x = np.nonzero(above)
        bright = np.stack([x, y], axis=1).astype(np.int64)
        (rows, columns), margin = pixels.shape, self.facts.margin
        laws = np.array(
            [*self.facts.width_range, *self.facts.aspect_ratio, margin, columns - 1 - margin, margin, rows - 1 - margin]
        )
        start = self._allowed(np.array([*guess.to_array(), 0.0]), laws)
        return _Puzzle(evidence, bright, likely_pairs(evidence, bright, _LINE), laws, start)

    def _around(self, puzzle: _Puzzle, start: NDArray) -> tuple[NDArray, NDArray, NDArray, NDArray, bool]:
        """What a chain needs besides the evidence and where it begins."""
        return self._outline, start, self._spread, puzzle.laws, self.facts.integer_coordinates

    def _allowed(self, outline: NDArray, laws: NDArray) -> NDArray:
        """The nearest outline whose width and place the laws allow."""
        outline = outline.copy()
        outline[[3, 0, 1]] = outline[[3, 0, 1]].clip(laws[[0, 4, 6]], laws[[1, 5, 7]])
        if self.facts.integer_coordinates:
            outline[[0, 1, 3]] = outline[[0, 1, 3]].round()
        return outline

    def _distinct(self, outlines: Sequence[NDArray], distance: float, count: int) -> list[NDArray]:
        """The first few that differ by more than ``distance`` spreads, in some number, from each one before."""
        kept: list[NDArray] = []
        for outline in outlines:
            apart = [(outline - other)[:5] for other in kept]
            for one in apart:
                one[2] = 2 * math.sin(one[2] / 2)
            if all((np.abs(one) > distance * self._spread[:5]).any() for one in apart):
                kept.append(outline)
            if len(kept) == count:
                break
        return kept

    def _without_lines(self, puzzle: _Puzzle, outline: NDArray, reach: int, least: float) -> NDArray[np.float32]:
        """The evidence with the pixels of lines set to 0; lines are looked for beyond ``reach`` of an outline."""
        free = puzzle.evidence.copy()
        cover(free, outline, self._outline, reach)
        masked = puzzle.evidence.copy()
        for line in find_segments(free, puzzle.pairs, self.facts.num_lines, least):
            blank_segment(masked, line)
        return masked


def _left(evidence: NDArray[np.float32], bright: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of the bright pixels that nothing explains yet."""
    return bright[evidence[bright[:, 1] + PAD, bright[:, 0] + PAD] > 0]


def _value(answer: _Answer) -> float:
    return answer.value
