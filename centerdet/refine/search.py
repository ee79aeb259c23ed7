"""Search for the outline near a detection that explains the pixels best.

Straight lines and one outline explain an image together (``fitting``). The search goes by stages, and ends at the first
whose result is convincing, or confirms a guess that the detector is sure of:

1. Lines alone: if they leave hardly a bright pixel, there is no object. Nor is there one without a likely guess.
2. Near the guess: chains start from it, and, if none fits, from the best of many outlines screened around it. Then
   lines are fitted beside the outline, and the outline beside the lines.
3. Lines that miss bright pixels are annealed for longer, with and without the outline.
4. Near further guesses, and where outlines can be built from edges (``corners``). The most probable result wins.

The refined box is the posterior mean around the most probable outline. ``ScenePrior`` describes the scenes,
``RefineSettings`` the search.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from centerdet.box import RotatedBox
from centerdet.preprocessing import to_unit_range
from centerdet.refine.bresenham import Segment, mask_segment
from centerdet.refine.candidates import Candidate, box_distance, distinct
from centerdet.refine.context import SearchContext, allowed, blur, bounds_around, mean_outline, prepare_search
from centerdet.refine.context import unexplained as select_unexplained
from centerdet.refine.corners import outlines_from_edges
from centerdet.refine.edges import likely_edges
from centerdet.refine.fitting import Fitter
from centerdet.refine.guess import Guess
from centerdet.refine.outlines import Outline
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

    Args:
        scene: The scenes; ``None``: those of ``make_data``.
        settings: The search; ``None``: the defaults.
    """

    def __init__(self, scene: ScenePrior | None = None, settings: RefineSettings | None = None) -> None:
        self.scene = scene or ScenePrior()
        self.settings = settings or RefineSettings()
        self._fitter = Fitter(self.scene, self.settings)
        self._spread = Outline(*self.settings.spread, 1.0)
        self._offsets = draw_offsets(self.settings)

    def refine_batch(
        self,
        images: Sequence[ArrayLike],
        guesses: Sequence[Sequence[Guess]],
        *,
        threads: int = 1,
        noise_levels: Sequence[float | None] | None = None,
    ) -> list[Fit | None]:
        """As ``refine``, for many images; the results do not depend on the number of threads."""
        levels = [None] * len(images) if noise_levels is None else noise_levels
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(self.refine, images, guesses, levels))

    def refine(self, image: ArrayLike, guesses: Sequence[Guess], noise_level: float | None = None) -> Fit | None:
        """Fits lines and an outline to an image.

        Args:
            image: ``(H, W)``, as ``Detector.detect`` takes it.
            guesses: At least one, however unlikely; the most likely first.
            noise_level: That of the image, in (0, 1); ``None``: the one of the scenes.

        Returns:
            The most probable outline, or ``None`` if there is hardly a chance, lines alone explain the image, or so
            many pixels are above the noise level that it is no such scene.

        Raises:
            ValueError: If the image is not as ``Detector.detect`` wants it, there is no guess, or the noise level is
                out of range.
        """
        if not guesses:
            raise ValueError("refinement needs at least one guess, got none")
        fitter, first = self._fitter, guesses[0]
        scene = self.scene if noise_level is None else replace(self.scene, noise_level=noise_level)
        pixels, settings = to_unit_range(image), self.settings
        if first.chance < settings.min_chance or np.mean(pixels > scene.noise_level) > settings.max_bright:
            return None
        context = prepare_search(pixels, first, scene, settings)
        if fitter.lines_explain_all(context):
            return None
        sure = first.chance >= settings.sure_chance
        best = self._search_near(context, context.prior.guess, sure=sure)
        if not (fitter.convinces(context, best) or (sure and self._confirms(context, best))):
            context = fitter.with_better_lines(context)
            if fitter.lines_explain_all(context):
                return None
            best = self._search_on(context, best, guesses, sure=sure)
        mean = fitter.posterior_mean(context, best)
        gain = best.log_posterior - fitter.lines_alone(context)
        return Fit(box=RotatedBox(*mean[:5]), gain=gain, unexplained=best.unexplained)

    def _search_near(self, context: SearchContext, start: Outline, *, sure: bool) -> Candidate:
        """The most probable outline that chains from a start lead to, or from the best outlines screened around it.

        Chains from a sure start, which is about a pixel off, need no blurred likelihoods.
        """
        settings, fitter = self.settings, self._fitter
        prior = context.prior._replace(guess=allowed(start, context.prior.bounds, self.scene))
        masked, _ = fitter.without_lines(context, prior.guess, settings.line_gap, settings.min_long_line)
        blurred = None if sure else blur(masked, settings)
        starts = [prior.guess] * (settings.sure_chains if sure else settings.num_chains)
        best = fitter.anneal_until_one_fits(context, blurred, masked, starts, prior)
        if not fitter.fits(context, masked, best.outline):
            blurred = blur(masked, settings) if blurred is None else blurred
            rows = keep_best(blurred, fitter.vertices, prior, self._offsets, settings.num_screened)
            starts = _distinct_rows(rows, prior.spread, settings.start_distance, settings.num_starts)
            if starts:
                best = max(best, fitter.anneal_until_one_fits(context, blurred, masked, starts, prior))
        return fitter.beside_lines(context, best.outline)

    def _confirms(self, context: SearchContext, candidate: Candidate) -> bool:
        """Whether a fitting outline is so near a sure guess that no other place needs to be searched."""
        guess, spread, _ = context.prior
        near = box_distance(candidate.outline, guess, spread) <= self.settings.sure_distance
        return near and self._fitter.fits(context, candidate.masked, candidate.outline)

    def _search_on(self, context: SearchContext, best: Candidate, guesses: Sequence[Guess], *, sure: bool) -> Candidate:
        """Improves the lines; if the best candidate still does not convince: further guesses, outlines from edges."""
        fitter = self._fitter
        best = fitter.improve(context, best)
        if fitter.convinces(context, best) or (sure and self._confirms(context, best)):
            return best
        outlines = [mean_outline(guess.box) for guess in guesses]
        further = distinct(outlines, self._spread, self.settings.guess_distance, len(outlines))[1:]
        others = [self._search_near(context, outline, sure=False) for outline in further]
        others += [fitter.beside_lines(context, outline) for outline in self._search_edges(context, sure=sure)]
        candidates = [best, *(fitter.improve(context, other) for other in others)]
        return max(candidates, key=lambda candidate: candidate.log_posterior)

    def _search_edges(self, context: SearchContext, *, sure: bool) -> list[Outline]:
        """The best few outlines that chains from edges lead to: near the guess, and if it is not sure, anywhere."""
        settings, fitter, prior = self.settings, self._fitter, context.prior
        masked = self._without_long_lines(context)
        blurred = blur(masked, settings)
        edges = likely_edges(blurred, select_unexplained(masked, context.bright), settings.num_edges)
        close, everywhere = bounds_around(prior, settings.guess_reach), prior.bounds
        starts: list[Outline] = []
        for bounds, count in ((close, settings.num_close_starts), (everywhere, 0 if sure else settings.num_far_starts)):
            if count:
                rows = outlines_from_edges(blurred, edges, fitter.vertices, bounds, settings.num_screened)
                starts += _distinct_rows(rows, self._spread, 1.0, count)
        starts = distinct(starts, self._spread, 1.0, len(starts))
        results = [fitter.anneal(blurred, masked, start, prior, seed=0) for start in starts]
        results.sort(key=lambda result: -result.log_posterior)
        return distinct([result.outline for result in results], self._spread, 1.0, settings.num_finalists)

    def _without_long_lines(self, context: SearchContext) -> NDArray[np.float32]:
        """The log-likelihood ratios with the pixels of lines set to 0 that are too long for an edge of an outline."""
        masked = context.llr.copy()
        for x0, y0, x1, y1 in context.lines.ends.tolist():
            if max(abs(x0 - x1), abs(y0 - y1)) > self.settings.max_edge:
                mask_segment(masked, Segment(x0, y0, x1, y1))
        return masked


def _distinct_rows(rows: NDArray[np.float64], spread: Outline, distance: float, count: int) -> list[Outline]:
    """The first outlines of rows ``(n, 6)`` that differ from one another; see ``candidates.distinct``."""
    return distinct([Outline(*row) for row in rows.tolist()], spread, distance, count)
