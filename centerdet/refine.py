"""A second look at a detection by the scene's own laws: which outline near it explains the pixels?

Straight lines and an outline explain an image in turn: lines where the outline is not, the outline where the lines are
not, until no bright pixel is left over. The refined box is the posterior mean of the outline's box.

image -> lines alone: nothing left over, no object -> outlines drawn around the guess, the best annealed -> lines anew
-> ... -> mean. The laws are those of ``SceneFacts``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from centerdet.box import Detection, RotatedBox
from centerdet.images import to_unit_range
from centerdet.posterior import PAD, blank_segment, chain, cover, find_segments, likelihood, screen
from centerdet.scene_facts import SceneFacts

_SURPRISE = 6.0  # nats: what it costs to leave a pixel above the noise unexplained
_LINE = 14.0  # nats: the least evidence for a line
_LONG_LINE = 45.0  # nats: what an edge of the outline seldom has
_FEW = 4  # so many bright pixels may be left over where all was found: short lines, lines that are a pixel off
_SURE = 20.0  # nats: gain of an outline that need not be looked for elsewhere


class Fit(NamedTuple):
    """An outline's box, and how well outline and lines explain the image.

    Attributes:
        box: Posterior mean.
        gain: What the outline explains beyond what lines alone do, nats.
        unexplained: Pixels above the noise that nothing explains.
    """

    box: RotatedBox
    gain: float
    unexplained: int


class Refiner:
    """Refines detections on scenes whose laws are known.

    Args:
        facts: The laws.
        candidates: Outlines drawn around a guess in each round.
        chains: How many of them are annealed.
        steps: Length of each chain.
        rounds: How often lines and outline are looked for in turn, at most.
        spread: Typical errors of a guess: x, y (px), yaw (rad), width, height (px).
    """

    def __init__(
        self,
        facts: SceneFacts | None = None,
        *,
        candidates: int = 20_000,
        chains: int = 8,
        steps: int = 1500,
        rounds: int = 3,
        spread: tuple[float, float, float, float, float] = (2.5, 2.5, 0.12, 3.0, 4.0),
    ) -> None:
        if min(candidates, chains, steps, rounds) < 1 or chains > candidates or min(spread) <= 0:
            raise ValueError("candidates, chains, steps and rounds must be at least 1, spread above 0")
        self.facts = facts or SceneFacts()
        self.candidates, self.chains, self.steps, self.rounds = candidates, chains, steps, rounds
        self._spread = np.array([*spread, 1.0])  # the last: of shape
        self._outline = np.hstack([self.facts.outline, self.facts.play])

    def refine_batch(
        self, images: Sequence[ArrayLike], guesses: Sequence[RotatedBox], *, threads: int = 1
    ) -> list[Detection | None]:
        """As ``refine``, for many images; the answers do not depend on the number of threads."""
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(self.refine, images, guesses))

    def refine(self, image: ArrayLike, guess: RotatedBox) -> Detection | None:
        """What an image holds, given about where: the same box or a better one, or ``None``.

        Args:
            image: As ``Detector.detect`` takes it.
            guess: The likeliest box, however unlikely.

        Raises:
            ValueError: If the image is not as ``Detector.detect`` wants it.
        """
        fit = self.fit(image, guess)
        if fit is None:
            return None
        score = 1 / (1 + math.exp(min(50.0, (10 - fit.gain) / 4)))
        return Detection(box=fit.box if fit.gain > 0 else guess, score=score)

    def fit(self, image: ArrayLike, guess: RotatedBox) -> Fit | None:
        """As ``refine``, with the evidence; ``None`` where lines alone explain the image."""
        pixels = to_unit_range(image)
        evidence, bright = self._evidence(pixels)
        alone = evidence.copy()
        find_segments(alone, bright, self.facts.lines, _LINE)
        left = _left(alone, bright)
        if len(left) <= _FEW:
            return None
        rows, columns = pixels.shape
        margin = self.facts.margin
        laws = np.array([*self.facts.width, *self.facts.ratio, margin, columns - 1 - margin, margin, rows - 1 - margin])
        near = np.array([*guess.to_array(), 0.0])
        middle = near.copy()
        middle[:2] = np.median(left, axis=0)  # where what lines cannot explain is
        anywhere = self._spread * np.array([3, 3, 25, 2, 3, 1])
        best: Fit | None = None
        for start, spread, effort in ((near, self._spread, 1), (near, 2 * self._spread, 2), (middle, anywhere, 4)):
            found, total = self._search(evidence, bright, start, spread, laws, effort)
            found = found._replace(gain=total - float(evidence.sum() - alone.sum()))
            best = found if best is None or found.gain > best.gain else best
            if best.gain > _SURE and best.unexplained <= 2 * _FEW:
                break
        return best

    def _search(
        self, evidence: NDArray, bright: NDArray, start: NDArray, spread: NDArray, laws: NDArray, effort: int
    ) -> tuple[Fit, float]:
        """Lines and outline in turn, from one start; with the fit, what both explain in nats."""
        start = start.copy()
        start[[3, 0, 1]] = start[[3, 0, 1]].clip(laws[[0, 4, 6]], laws[[1, 5, 7]])
        if self.facts.whole:
            start[[0, 1, 3]] = start[[0, 1, 3]].round()
        around = (self._outline, start, spread, laws, self.facts.whole)
        best = np.array([-math.inf, *start])
        for number in range(self.rounds):
            reach, least = (2, _LINE) if number else (3, _LONG_LINE)  # at first, short lines may be edges
            masked = self._without_lines(evidence, bright, best[1:], reach, least)
            smooth = cv2.GaussianBlur(masked, (0, 0), 1.0) * np.float32(1.5)  # a pixel off is not all wrong
            starts = screen(smooth, *around, effort * self.candidates, self.chains, number)
            starts = [*starts, best[1:].copy()] if number else starts
            best[0] = -math.inf  # the lines have changed
            for index, one in enumerate(starts):
                end, _ = chain(masked, one, *around, self.steps, 3.0, index)
                best = end if end[0] > best[0] else best
            rest = masked.copy()
            cover(rest, best[1:], self._outline, 0)
            unexplained = len(_left(rest, bright))
            if unexplained <= _FEW // 2:
                break
        _, mean = chain(masked, best[1:], *around, 4 * self.steps, 1.0, 0)
        total = float(evidence.sum() - masked.sum()) + likelihood(masked, best[1:], self._outline)
        return Fit(box=RotatedBox(*mean[:5].tolist()), gain=0.0, unexplained=unexplained), total

    def _evidence(self, pixels: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The padded map of log-likelihood ratios, and x, y of the pixels that are brighter than any background."""
        above = pixels > self.facts.noise_level
        dark = np.log(np.maximum(2 * pixels, 0.03))  # the larger of two uniforms: density 2 v / n against 1 / n
        y, x = np.nonzero(above)
        return np.pad(np.where(above, np.float32(_SURPRISE), dark), PAD), np.stack([x, y], axis=1).astype(np.int64)

    def _without_lines(self, evidence: NDArray, bright: NDArray, outline: NDArray, reach: int, least: float) -> NDArray:
        """The evidence with the pixels of lines set to 0; lines are looked for beyond ``reach`` of an outline."""
        free = evidence.copy()
        cover(free, outline, self._outline, reach)
        lines = find_segments(free, _left(free, bright), self.facts.lines, least)
        masked = evidence.copy()
        for line in lines:
            blank_segment(masked, line)
        return masked


def _left(evidence: NDArray[np.float32], bright: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of the bright pixels that nothing explains yet."""
    return bright[evidence[bright[:, 1] + PAD, bright[:, 0] + PAD] > 0]
