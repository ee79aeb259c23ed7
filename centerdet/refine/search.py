"""Search for the outline near a detection that explains the pixels best.

Straight lines and one outline explain an image together (``fitting``). The search goes by stages, and ends at the first
whose result is convincing:

1. Lines alone: if they leave hardly a bright pixel, there is no object.
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
from centerdet.refine.candidates import Candidate, distinct
from centerdet.refine.context import SearchContext, allowed, blur, bounds_around, mean_outline, prepare_search
from centerdet.refine.context import unexplained as select_unexplained
from centerdet.refine.corners import outlines_from_edges
from centerdet.refine.edges import likely_edges
from centerdet.refine.fitting import Fitter
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
        guesses: Sequence[Sequence[RotatedBox]],
        *,
        threads: int = 1,
        noise_levels: Sequence[float | None] | None = None,
    ) -> list[Fit | None]:
        """As ``refine``, for many images; the results do not depend on the number of threads."""
        levels = [None] * len(images) if noise_levels is None else noise_levels
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(self.refine, images, guesses, levels))

    def refine(self, image: ArrayLike, guesses: Sequence[RotatedBox], noise_level: float | None = None) -> Fit | None:
        """Fits lines and an outline to an image.

        Args:
            image: ``(H, W)``, as ``Detector.detect`` takes it.
            guesses: At least one box, however unlikely; the most likely first.
            noise_level: That of the image, in (0, 1); ``None``: the one of the scenes.

        Returns:
            The most probable outline, or ``None`` if lines alone explain the image.

        Raises:
            ValueError: If the image is not as ``Detector.detect`` wants it, there is no guess, or the noise level is
                out of range.
        """
        if not guesses:
            raise ValueError("refinement needs at least one guess, got none")
        fitter = self._fitter
        scene = self.scene if noise_level is None else replace(self.scene, noise_level=noise_level)
        context = prepare_search(to_unit_range(image), guesses[0], scene, self.settings)
        if fitter.lines_explain_all(context):
            return None
        best = self._search_near(context, context.prior.guess)
        if not fitter.convinces(context, best):
            context = fitter.with_better_lines(context)
            if fitter.lines_explain_all(context):
                return None
            best = self._search_on(context, best, guesses)
        mean = fitter.posterior_mean(context, best)
        gain = best.log_posterior - fitter.lines_alone(context)
        return Fit(box=RotatedBox(*mean[:5]), gain=gain, unexplained=best.unexplained)

    def _search_near(self, context: SearchContext, start: Outline) -> Candidate:
        """The most probable outline that chains from a start lead to, or from the best outlines screened around it."""
        settings, fitter = self.settings, self._fitter
        prior = context.prior._replace(guess=allowed(start, context.prior.bounds, self.scene))
        masked, _ = fitter.without_lines(context, prior.guess, settings.line_gap, settings.min_long_line)
        blurred = blur(masked, settings)
        best = fitter.anneal_until_one_fits(context, blurred, masked, [prior.guess] * settings.num_chains, prior)
        if not fitter.fits(context, masked, best.outline):
            rows = keep_best(blurred, fitter.vertices, prior, self._offsets, settings.num_screened)
            starts = self._distinct(rows, settings.start_distance, settings.num_starts)
            if starts:
                best = max(best, fitter.anneal_until_one_fits(context, blurred, masked, starts, prior))
        return fitter.beside_lines(context, best.outline)

    def _search_on(self, context: SearchContext, best: Candidate, guesses: Sequence[RotatedBox]) -> Candidate:
        """Improves the lines; if the best candidate still does not convince: further guesses, outlines from edges."""
        fitter = self._fitter
        best = fitter.improve(context, best)
        if fitter.convinces(context, best):
            return best
        others = [self._search_near(context, mean_outline(box)) for box in guesses[1:]]
        others += [fitter.beside_lines(context, outline) for outline in self._search_edges(context)]
        candidates = [best, *(fitter.improve(context, other) for other in others)]
        return max(candidates, key=lambda candidate: candidate.log_posterior)

    def _search_edges(self, context: SearchContext) -> list[Outline]:
        """The best few outlines that chains from outlines built of edges lead to, near the guess and anywhere."""
        settings, fitter, prior = self.settings, self._fitter, context.prior
        masked = self._without_long_lines(context)
        blurred = blur(masked, settings)
        edges = likely_edges(blurred, select_unexplained(masked, context.bright), settings.num_edges)
        close, everywhere = bounds_around(prior, settings.guess_reach), prior.bounds
        starts: list[Outline] = []
        for bounds, count in ((close, settings.num_close_starts), (everywhere, settings.num_far_starts)):
            rows = outlines_from_edges(blurred, edges, fitter.vertices, bounds, settings.num_screened)
            starts += self._distinct(rows, 1.0, count)
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

    def _distinct(self, rows: NDArray[np.float64], distance: float, count: int) -> list[Outline]:
        """The first outlines of rows ``(n, 6)`` that differ from one another; see ``candidates.distinct``."""
        return distinct([Outline(*row) for row in rows.tolist()], self._spread, distance, count)
