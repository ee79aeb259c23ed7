"""Settings of the search: sizes, thresholds in nats, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RefineSettings:
    """Settings of the search; "measured" refers to docs/experiments.md, "refinement". Spreads are units of ``spread``.

    Attributes:
        spread: Typical errors of a guess: x, y (px), yaw (rad), width, height (px). About 1.5 times those of the
            accurate network's first stage, so that the fast one's are covered.
        sure_spread: The same for a guess whose chance is at least ``sure_chance``: the second stage's errors stay
            below it in 90 % of the images.
        min_chance: A guess with a smaller chance is not refined: measured, one object in 3,200 has such a guess.
        max_bright: Largest fraction of pixels above the noise level. An image with more is no such scene, or of another
            level, and the time of a search grows with the square; the task's scenes have 0.003.
        sure_chance, sure_distance: The search ends at an outline that misses no bright pixel beside it, if the guess
            has this chance and all of its parameters are that near, in ``sure_spread``.
        sure_chains: Chains that start from such a guess at most.
        guess_distance: Further guesses that are no farther from another one, in spreads, are left out.
        num_chains: Chains that start from one outline at most; most images need one. Measured: four of 1,000 steps
            reach the optimum as often as eight of 1,900 did.
        blurred_steps, chain_steps, final_steps, mean_steps: Lengths of the chains: on blurred likelihoods, on exact
            ones, beside refitted lines, and for the posterior mean. Measured: 600 steps for the mean cost 0.0008 of
            AP@[.5:.95] against 1,500.
        annealing, final_annealing: Temperature at which chains on exact likelihoods start, while searching and beside
            refitted lines. Measured: 1 to 1.5 is better than 3.
        num_offsets: Outlines screened around a guess where no chain from the guess itself fits.
        num_screened: Outlines kept by a screening, before those too close to a better one are dropped.
        num_starts, start_distance: How many of them chains start from, and how far apart these are, spreads.
        num_edges: Pairs of bright pixels that outlines are built from, the most likely first. Measured: 25 find as much
            as 40.
        guess_reach: Half the side of the square around the guess that is "close", px: the fast network's guess is that
            near in 99 % of the images.
        num_close_starts, num_far_starts: Outlines built from edges that chains start from, close and, if the guess is
            not sure, anywhere.
        num_finalists: Results of these chains that lines are fitted beside.
        bright_llr: Log-likelihood ratio of a pixel above the noise level, nats. By the model it is infinite; a finite
            one allows for lines that were found a pixel off.
        min_likelihood_ratio: Smallest likelihood ratio of a pixel, so that none counts less than -3.5 nats.
        min_line: Smallest sum of log-likelihood ratios of a line, nats: two bright pixels and a little more.
        line_cost: What a line costs, nats: logarithm of the number of lines (200 ** 4: 21), less that of the lines
            that fit about as well, less what a line that was not found costs.
        min_long_line: Smallest sum for lines beside a guess, nats; edges of the object seldom have it.
        max_edge: Lines longer than that are no edges of an object, px.
        polish_steps, long_polish_steps: Metropolis steps on a line's ends, at first and in doubtful images; three
            times as many if it keeps missing bright pixels.
        line_gap, settled_line_gap: Lines are searched at least this far from a guess, and from an outline, px.
        blur_sigma: Blur of the likelihood ratios that allows for edges a pixel off, px. Such an outline then keeps 60 %
            of its score.
        max_blurred_llr: Largest log-likelihood ratio of a pixel before that blur, nats: otherwise short outlines win.
        max_unexplained_alone: Bright pixels that lines may leave in an image without object.
        max_unexplained, convincing_gain: An outline convinces, and ends the search, if it and its lines leave no more
            bright pixels than that, and gain that much over lines alone, nats.
    """

    spread: tuple[float, float, float, float, float] = (2.5, 2.5, 0.12, 3.0, 4.0)
    sure_spread: tuple[float, float, float, float, float] = (0.9, 0.9, 0.03, 1.6, 2.1)
    min_chance: float = 0.001
    max_bright: float = 0.05
    sure_chance: float = 0.8
    sure_distance: float = 1.2
    sure_chains: int = 4
    guess_distance: float = 1.0
    num_chains: int = 4
    blurred_steps: int = 500
    chain_steps: int = 500
    final_steps: int = 700
    mean_steps: int = 1000
    annealing: float = 1.2
    final_annealing: float = 1.5
    num_offsets: int = 6_000
    num_screened: int = 100
    num_starts: int = 6
    start_distance: float = 0.7
    num_edges: int = 25
    guess_reach: float = 15.0
    num_close_starts: int = 10
    num_far_starts: int = 5
    num_finalists: int = 3
    bright_llr: float = 6.0
    min_likelihood_ratio: float = 0.03
    min_line: float = 14.0
    line_cost: float = 13.0
    min_long_line: float = 45.0
    max_edge: float = 65.0
    polish_steps: int = 200
    long_polish_steps: int = 700
    line_gap: int = 3
    settled_line_gap: int = 2
    blur_sigma: float = 0.7
    max_blurred_llr: float = 3.0
    max_unexplained_alone: int = 2
    max_unexplained: int = 4
    convincing_gain: float = 60.0

    def __post_init__(self) -> None:
        outlines = (self.num_chains, self.sure_chains, self.num_offsets, self.num_screened, self.num_starts)
        finalists = (self.num_edges, self.num_close_starts, self.num_far_starts, self.num_finalists)
        steps = (self.blurred_steps, self.chain_steps, self.final_steps, self.mean_steps)
        if min(*outlines, *finalists, *steps) < 1 or min(self.spread + self.sure_spread) <= 0:
            raise ValueError(f"numbers of outlines and steps must be at least 1, spreads above 0, got {self}")
