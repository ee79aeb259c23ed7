"""Settings of the search: sizes, thresholds in nats, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RefineSettings:
    """Settings of the search; the defaults were chosen on default scenes (docs/experiments.md, "refinement").

    Attributes:
        num_near: Outlines screened near a guess.
        num_far: Outlines screened farther around it, where the near ones do not convince.
        num_chains: Number of them that are annealed.
        chain_steps: Length of each chain.
        spread: Typical errors of a guess: x, y (px), yaw (rad), width, height (px). About 1.5 times those of the
            accurate network, so that the fast one's are covered.
        num_screened: Outlines kept by a screening, before those too close to a better one are dropped.
        bright_llr: Log-likelihood ratio of a pixel above the noise level, nats. By the model it is infinite; a finite
            one allows for lines that were found a pixel off.
        min_likelihood_ratio: Smallest likelihood ratio of a pixel, so that none counts less than -3.5 nats.
        min_line: Smallest sum of log-likelihood ratios of a line, nats: two bright pixels and a little more.
        min_long_line: The same for lines beside an outline that is not settled yet, nats; its own edges seldom have it.
        blur_sigma: Blur of the likelihood ratios that allows for edges a pixel off, px. Such an outline then keeps 60 %
            of its score.
        max_blurred_llr: Largest log-likelihood ratio of a pixel before that blur, nats: otherwise short outlines win.
        line_gap, settled_line_gap: Lines are searched at least this far from an outline, before and after its chains
            met, px.
        max_unexplained: Bright pixels that may remain where everything was found: short lines, lines a pixel off.
        convincing_gain: Log-posterior that an outline gains over lines alone, from which on no other place is searched,
            nats. Of 476 ships above it none was wrong.
        annealing, final_annealing: Temperature at which chains start, while searching and while alternating.
    """

    num_near: int = 8_000
    num_far: int = 200_000
    num_chains: int = 8
    chain_steps: int = 1500
    spread: tuple[float, float, float, float, float] = (2.5, 2.5, 0.12, 3.0, 4.0)
    num_screened: int = 300
    bright_llr: float = 6.0
    min_likelihood_ratio: float = 0.03
    min_line: float = 14.0
    min_long_line: float = 45.0
    blur_sigma: float = 0.7
    max_blurred_llr: float = 3.0
    line_gap: int = 3
    settled_line_gap: int = 2
    max_unexplained: int = 4
    convincing_gain: float = 60.0
    annealing: float = 3.0
    final_annealing: float = 2.0

    def __post_init__(self) -> None:
        if min(self.num_near, self.num_far, self.num_chains, self.chain_steps) < 1 or min(self.spread) <= 0:
            raise ValueError(
                f"num_near, num_far, num_chains and chain_steps must be at least 1, spread above 0, got {self}"
            )
