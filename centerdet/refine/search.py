"""Search for the outline near a detection that explains the pixels best.

Straight lines and one outline explain an image together. The search goes by stages:

1. Lines alone: if they leave hardly a bright pixel, there is no object.
2. Near the guess: many outlines are screened, the best are annealed, and then lines and outline are fitted in turn,
   each to what the other leaves.
3. If the result is not convincing: the same from further guesses, and much farther around the first one.
4. If it still is not: the same around the pixels that lines do not explain.
5. The refined box is the posterior mean around the most probable outline.

``ScenePrior`` describes the scenes, ``RefineSettings`` the search.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from centerdet.box import RotatedBox
from centerdet.preprocessing import to_unit_range
from centerdet.refine.bresenham import Segment, mask_segment
from centerdet.refine.candidates import Candidate, distinct
from centerdet.refine.context import SearchContext, allowed, blur, mean_outline, prepare_search, unexplained
from centerdet.refine.lines import find_segments
from centerdet.refine.mcmc import ChainResult, chain
from centerdet.refine.outlines import Outline, OutlinePrior, Vertices, log_likelihood, log_prior, mask_outline
from centerdet.refine.prior import ScenePrior
from centerdet.refine.screening import draw_offsets, keep_best
from centerdet.refine.settings import RefineSettings


class Fit(NamedTuple):
    """An outline's box, and how well outline and lines explain the image.

    Attributes:
        box: Posterior mean.
        gain: Log-posterior of outline and lines above that of lines alone, nats.
        unexplained: Pixels above the noise level that neither explains.
    """

    box: RotatedBox
    gain: float
    unexplained: int


class Refiner:
    """Refines detections in scenes that are described by a ``ScenePrior``.

    It draws 1.25 million random numbers when it is made: keep it.

    Args:
        scene: The scenes; ``None``: those of ``make_data``.
        settings: The search; ``None``: the defaults.
    """

    def __init__(self, scene: ScenePrior | None = None, settings: RefineSettings | None = None) -> None:
        self.scene = scene or ScenePrior()
        self.settings = settings or RefineSettings()
        self._spread = Outline(*self.settings.spread, 1.0)
        vertices, vertex_std = np.array(self.scene.outline), np.array(self.scene.vertex_std)
        self._vertices = Vertices(*vertices.T.copy(), *vertex_std.T.copy())
        self._near, self._far = draw_offsets(self.settings)

    def refine_batch(
        self, images: Sequence[ArrayLike], guesses: Sequence[Sequence[RotatedBox]], *, threads: int = 1
    ) -> list[Fit | None]:
        """As ``refine``, for many images; the results do not depend on the number of threads."""
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(self.refine, images, guesses))

    def refine(self, image: ArrayLike, guesses: Sequence[RotatedBox]) -> Fit | None:
        """Fits lines and an outline to an image.

        Args:
            image: ``(H, W)``, as ``Detector.detect`` takes it.
            guesses: At least one box, however unlikely; the most likely first.

        Returns:
            The most probable outline, or ``None`` if lines alone explain the image.

        Raises:
            ValueError: If the image is not as ``Detector.detect`` wants it, or there is no guess.
        """
        if not guesses:
            raise ValueError("refinement needs at least one guess, got none")
        context = prepare_search(to_unit_range(image), guesses[0], self.scene, self.settings)
        without_lines = context.llr.copy()
        find_segments(without_lines, context.pairs, self.scene.num_lines, self.settings.min_line)
        remaining = unexplained(without_lines, context.bright)
        if len(remaining) <= self.settings.max_unexplained:
            return None
        lines_alone = float(context.llr.sum() - without_lines.sum())
        best = self._search_near(context, guesses, lines_alone)
        best = self._search_remaining_pixels(context, best, remaining, lines_alone)
        mean = self._posterior_mean(context, best)
        return Fit(box=RotatedBox(*mean[:5]), gain=best.log_posterior - lines_alone, unexplained=best.unexplained)

    def _search_near(self, context: SearchContext, guesses: Sequence[RotatedBox], lines_alone: float) -> Candidate:
        """Searches near the first guess; if that does not convince, near the others and farther around the first."""
        first = context.prior.guess
        best = self._search_from(context, first, self._near, 1)
        if self._convinces(best, lines_alone + self.settings.convincing_gain):
            return best
        others = [self._search_from(context, mean_outline(box), self._near, 1) for box in guesses[1:]]
        return max([best, *others, self._search_from(context, first, self._far, 5)], key=_log_posterior)

    def _search_remaining_pixels(
        self, context: SearchContext, best: Candidate, remaining: NDArray[np.int64], lines_alone: float
    ) -> Candidate:
        """If the best candidate is not half convincing: searches around the pixels that lines do not explain."""
        if self._convinces(best, lines_alone + self.settings.convincing_gain / 2):
            return best
        x, y = (float(median) for median in np.median(remaining, axis=0))
        start = context.prior.guess._replace(x=x, y=y)
        return max(best, self._search_from(context, start, self._far, 3), key=_log_posterior)

    def _posterior_mean(self, context: SearchContext, candidate: Candidate) -> Outline:
        """Mean of a long chain at temperature 1."""
        steps = 4 * self.settings.chain_steps
        return self._chain(candidate.masked, candidate.outline, context.prior, steps, 1.0, 0).mean

    def _search_from(self, context: SearchContext, start: Outline, draws: NDArray[np.float32], keep: int) -> Candidate:
        """The most probable of the ``keep`` best outlines that a search around a start leads to."""
        settings = self.settings
        prior = context.prior._replace(guess=allowed(start, context.prior.bounds, self.scene))
        masked = self._without_lines(context, prior.guess, settings.line_gap, settings.min_long_line)
        blurred = blur(masked, settings)
        screened = keep_best(blurred, self._vertices, prior, draws, settings.num_screened)
        starts = distinct([Outline(*row) for row in screened.tolist()], self._spread, 0.7, settings.num_chains)
        annealed = [self._anneal(blurred, masked, outline, prior, seed) for seed, outline in enumerate(starts)]
        annealed.sort(key=lambda result: -result.log_posterior)
        outlines = distinct([result.best for result in annealed] or [prior.guess], self._spread, 1.0, keep)
        candidates = [self._alternate_lines_and_outline(context, outline) for outline in outlines]
        return max(candidates, key=_log_posterior)

    def _anneal(
        self, blurred: NDArray[np.float32], masked: NDArray[np.float32], start: Outline, prior: OutlinePrior, seed: int
    ) -> ChainResult:
        """A short chain on blurred likelihoods, then a long one on exact ones."""
        steps, temperature = self.settings.chain_steps, self.settings.annealing
        start = allowed(start, prior.bounds, self.scene)
        near = self._chain(blurred, start, prior, steps // 4, temperature, seed)
        return self._chain(masked, near.best, prior, steps, temperature, seed)

    def _alternate_lines_and_outline(self, context: SearchContext, outline: Outline) -> Candidate:
        """Fits lines and outline in turn, as long as the log-posterior grows by a nat."""
        settings, prior = self.settings, context.prior
        candidate: Candidate | None = None
        while True:
            masked = self._without_lines(context, outline, settings.settled_line_gap, settings.min_line)
            results = [
                self._chain(masked, outline, prior, settings.chain_steps, settings.final_annealing, seed)
                for seed in range(2)
            ]
            outline = max(results, key=lambda result: result.log_posterior).best
            score = float(context.llr.sum() - masked.sum()) + log_likelihood(masked, outline, self._vertices)
            score += log_prior(outline, prior)
            if candidate is not None and score < candidate.log_posterior + 1:
                return candidate
            rest = masked.copy()
            mask_outline(rest, outline, self._vertices, 0)
            candidate = Candidate(outline, masked, score, len(unexplained(rest, context.bright)))
            if candidate.unexplained <= settings.max_unexplained // 2:
                return candidate

    def _chain(
        self,
        llr: NDArray[np.float32],
        start: Outline,
        prior: OutlinePrior,
        steps: int,
        temperature: float,
        seed: int,
    ) -> ChainResult:
        integer = self.scene.integer_coordinates
        return ChainResult(*chain(llr, start, self._vertices, prior, integer, steps, temperature, seed))

    def _convinces(self, candidate: Candidate, log_posterior: float) -> bool:
        """Whether no other place needs to be searched."""
        few = candidate.unexplained <= 1.5 * self.settings.max_unexplained
        return few and candidate.log_posterior >= log_posterior

    def _without_lines(
        self, context: SearchContext, outline: Outline, gap: int, min_score: float
    ) -> NDArray[np.float32]:
        """The log-likelihood ratios with the pixels of lines set to 0; lines are searched beyond ``gap`` px."""
        free = context.llr.copy()
        mask_outline(free, outline, self._vertices, gap)
        masked = context.llr.copy()
        for ends in find_segments(free, context.pairs, self.scene.num_lines, min_score).tolist():
            mask_segment(masked, Segment(*ends))
        return masked


def _log_posterior(candidate: Candidate) -> float:
    return candidate.log_posterior
