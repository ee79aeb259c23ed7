"""Fits lines and an outline to an image, each to what the other leaves; the steps that a search is made of."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from centerdet.refine.candidates import Candidate
from centerdet.refine.context import SearchContext, allowed, unexplained
from centerdet.refine.lines import Lines, improve_lines, mask_lines, refit_lines
from centerdet.refine.mcmc import Annealed, anneal, posterior_mean
from centerdet.refine.outlines import Outline, OutlinePrior, Vertices, count_missed, make_vertices, mask_outline
from centerdet.refine.prior import ScenePrior
from centerdet.refine.settings import RefineSettings


class Fitter:
    """Fits outlines and lines in scenes of one kind.

    Args:
        scene: The scenes.
        settings: Lengths of chains, temperatures, thresholds.
    """

    def __init__(self, scene: ScenePrior, settings: RefineSettings) -> None:
        self.scene, self.settings = scene, settings
        self.vertices = make_vertices(scene)

    def anneal(
        self,
        blurred: NDArray[np.float32] | None,
        masked: NDArray[np.float32],
        start: Outline,
        prior: OutlinePrior,
        seed: int,
    ) -> Annealed:
        """A short chain on blurred likelihoods, unless they are ``None``, then a long one on exact ones."""
        settings, setup = self.settings, self._chain_setup(prior)
        start = allowed(start, prior.bounds, self.scene)
        if blurred is not None:
            _, start = anneal(blurred, start, *setup, settings.blurred_steps, 1.0, seed)
        return Annealed(*anneal(masked, start, *setup, settings.chain_steps, settings.annealing, seed))

    def anneal_until_one_fits(
        self,
        context: SearchContext,
        blurred: NDArray[np.float32] | None,
        masked: NDArray[np.float32],
        starts: Sequence[Outline],
        prior: OutlinePrior,
    ) -> Annealed:
        """The best of chains from at least one start; no more are run once an outline misses no bright pixel."""
        best = Annealed(-math.inf, starts[0])
        for seed, start in enumerate(starts):
            best = max(best, self.anneal(blurred, masked, start, prior, seed))
            if self.fits(context, masked, best.outline):
                break
        return best

    def fits(self, context: SearchContext, masked: NDArray[np.float32], outline: Outline) -> bool:
        """Whether an outline misses no bright pixel beside it."""
        return count_missed(masked, context.bright, outline, self.vertices, self.settings.line_gap) == 0

    def beside_lines(self, context: SearchContext, outline: Outline) -> Candidate:
        """Fits lines beside an outline, and the outline beside these lines."""
        settings = self.settings
        masked, lines = self.without_lines(context, outline, settings.settled_line_gap, settings.min_line)
        return self._fit_outline(context, outline, masked, lines)

    def improve(self, context: SearchContext, candidate: Candidate) -> Candidate:
        """Anneals lines for longer and the outline again, as long as the log-posterior grows by a nat."""
        while True:
            free = context.llr.copy()
            mask_outline(free, candidate.outline, self.vertices, 0)
            lines = self._improve_lines(context, free, candidate.lines)
            masked = context.llr.copy()
            mask_lines(masked, lines)
            new = self._fit_outline(context, candidate.outline, masked, lines)
            if new.log_posterior < candidate.log_posterior + 1:
                return max(new, candidate, key=lambda one: one.log_posterior)
            candidate = new

    def with_better_lines(self, context: SearchContext) -> SearchContext:
        """Anneals for longer the lines that explain an image without an object."""
        without_lines = context.llr.copy()
        lines = self._improve_lines(context, without_lines, context.lines)
        return context._replace(lines=lines, without_lines=without_lines)

    def without_lines(
        self, context: SearchContext, outline: Outline, gap: int, min_score: float
    ) -> tuple[NDArray[np.float32], Lines]:
        """The log-likelihood ratios with the pixels of lines set to 0; lines are searched beyond ``gap`` px."""
        free = context.llr.copy()
        mask_outline(free, outline, self.vertices, gap)
        count, steps = self.scene.num_lines, self.settings.polish_steps
        lines = Lines(*refit_lines(free, context.lines, context.pairs, count, min_score, steps))
        masked = context.llr.copy()
        mask_lines(masked, lines)
        return masked, lines

    def posterior_mean(self, context: SearchContext, candidate: Candidate) -> Outline:
        """Mean of the outlines around a candidate, beside its lines."""
        setup, steps = self._chain_setup(context.prior), self.settings.mean_steps
        return posterior_mean(candidate.masked, candidate.outline, *setup, steps)

    def lines_alone(self, context: SearchContext) -> float:
        """Log-posterior of lines without an outline, nats."""
        return self._lines_score(context, context.without_lines, context.lines)

    def lines_explain_all(self, context: SearchContext) -> bool:
        """Whether lines alone leave hardly a bright pixel."""
        return len(unexplained(context.without_lines, context.bright)) <= self.settings.max_unexplained_alone

    def convinces(self, context: SearchContext, candidate: Candidate) -> bool:
        """Whether no other place needs to be searched."""
        if candidate.unexplained > self.settings.max_unexplained:
            return False
        gain = candidate.log_posterior - self.lines_alone(context)
        return gain >= self.settings.convincing_gain and self.fits(context, candidate.masked, candidate.outline)

    def _improve_lines(self, context: SearchContext, llr: NDArray[np.float32], lines: Lines) -> Lines:
        """As ``lines.improve_lines``: changes ``llr``."""
        settings, count = self.settings, self.scene.num_lines
        return Lines(*improve_lines(llr, lines, context.pairs, count, settings.min_line, settings.long_polish_steps))

    def _fit_outline(
        self, context: SearchContext, outline: Outline, masked: NDArray[np.float32], lines: Lines
    ) -> Candidate:
        """Anneals an outline beside given lines."""
        settings, setup = self.settings, self._chain_setup(context.prior)
        best = Annealed(-math.inf, outline)
        for seed in range(settings.num_chains):
            result = anneal(masked, best.outline, *setup, settings.final_steps, settings.final_annealing, seed)
            best = max(best, Annealed(*result))
            if self.fits(context, masked, best.outline):
                break
        value = best.log_posterior + self._lines_score(context, masked, lines)
        rest = masked.copy()
        mask_outline(rest, best.outline, self.vertices, 0)
        return Candidate(best.outline, lines, masked, value, len(unexplained(rest, context.bright)))

    def _lines_score(self, context: SearchContext, masked: NDArray[np.float32], lines: Lines) -> float:
        """What lines add to the log-posterior: the log-likelihood ratios of their pixels, less their cost."""
        explained = float(context.llr.sum() - masked.sum())
        return explained - self.settings.line_cost * len(lines.scores)

    def _chain_setup(self, prior: OutlinePrior) -> tuple[Vertices, OutlinePrior, bool]:
        return self.vertices, prior, self.scene.integer_coordinates
