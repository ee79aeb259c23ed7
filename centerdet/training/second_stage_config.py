"""Everything that the training of a second stage depends on, one section of a config file."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from centerdet.cropping import check_batch_size
from centerdet.detector.calibration import Calibration
from centerdet.detector.second_stage import SecondStageHeader
from centerdet.model.hypotheses import HypothesesConfig
from centerdet.model.second_stage import SecondStageConfig
from centerdet.model.second_stage_loss import SecondStageLossConfig
from centerdet.training.optim_config import OptimConfig

MAX_STARTS = 100  # of an image


@dataclass(frozen=True, slots=True, kw_only=True)
class StartsConfig:
    """How starts are drawn; all fractions are of the starts.

    Attributes:
        starts: Drawn from each image.
        peak_shares: How often a start from a first stage is its first, second, ... peak; sums to 1.
        jittered_truths: Fraction that is a jittered truth where there is an object; the others are a first stage's.
        shift: Standard deviation of the jitter, in widths and heights of the box.
        turn: The same of the yaw, rad.
        scale: The same of the logarithms of width and height.
        wide_share: Fraction of jitters that are ``wide_factor`` times as large.
        wide_factor: See there.
        peak_factor: Share of the jitter that is added to the first stages' boxes.
        half_turns: Fraction that is turned by pi.
        quarter_turns: Fraction that is turned by pi/2 to either side.
        min_size: Smaller boxes are enlarged to it, px.
    """

    starts: int = 5
    peak_shares: tuple[float, ...] = (0.64, 0.22, 0.14)
    jittered_truths: float = 0.4
    shift: float = 0.045
    turn: float = 0.07
    scale: float = 0.08
    wide_share: float = 0.3
    wide_factor: float = 2.5
    peak_factor: float = 0.25
    half_turns: float = 0.12
    quarter_turns: float = 0.06
    min_size: float = 4.0

    def __post_init__(self) -> None:
        fractions = (self.jittered_truths, self.wide_share, self.peak_factor, self.half_turns + self.quarter_turns)
        if not 1 <= self.starts <= MAX_STARTS or not self.peak_shares or not math.isclose(sum(self.peak_shares), 1):
            raise ValueError(
                f"starts must lie in 1..{MAX_STARTS}, peak_shares sum to 1, got {self.starts}, {self.peak_shares}"
            )
        if not all(0 <= fraction <= 1 for fraction in fractions):
            raise ValueError(f"fractions must lie in [0, 1], got {self}")
        if min(self.shift, self.turn, self.scale) < 0 or self.wide_factor <= 0 or self.min_size <= 0:
            raise ValueError(f"jitter must be at least 0, wide_factor and min_size above 0, got {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondStageTrainingConfig(OptimConfig):
    """Settings of the loop, besides those of ``OptimConfig``; a checkpoint follows every block.

    Attributes:
        blocks: Blocks of images to train on.
        batch_shares: Rows of a batch by how many passes they have behind them, fresh starts first, falling.
        validate_every: Blocks between validations.

    Raises:
        ValueError: If a setting is out of range.
    """

    learning_rate: float = 4e-3
    blocks: int = 430
    batch_shares: tuple[int, ...] = (28, 18, 12, 6)
    validate_every: int = 25

    def __post_init__(self) -> None:
        OptimConfig.__post_init__(self)
        self.check_counts(self.blocks, self.validate_every)
        shares = list(self.batch_shares)
        if not shares or min(shares) < 1 or shares != sorted(shares, reverse=True):
            raise ValueError(f"batch_shares must fall and be at least 1, got {self.batch_shares}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondStageRecipe:
    """How a second stage is made.

    Attributes:
        network: Its size; ``size_unit`` and ``has_heading`` are always the first stage's.
        hypotheses: Boxes that it tries in a detector.
        starts: Boxes that it is trained from.
        loss: Weights of the loss.
        training: Of the loop.
        images_per_block: Images whose starts are mixed; the more, the less alike are a batch's rows.
        object_probability: Fraction of synthetic training images with an object.
        other_first_stages: Further detectors whose boxes it is trained from, names or paths as ``centerdet.load`` takes
            them, cheaper than the detector that it is made for.
    """

    network: SecondStageConfig = field(default_factory=SecondStageConfig)
    hypotheses: HypothesesConfig = field(default_factory=HypothesesConfig)
    starts: StartsConfig = field(default_factory=StartsConfig)
    loss: SecondStageLossConfig = field(default_factory=SecondStageLossConfig)
    training: SecondStageTrainingConfig = field(default_factory=SecondStageTrainingConfig)
    images_per_block: int = 512
    object_probability: float = 0.85
    other_first_stages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_batch_size(self.images_per_block)
        if not 0 <= self.object_probability <= 1:
            raise ValueError(f"object_probability must lie in [0, 1], got {self.object_probability}")
        rows, starts = sum(self.training.batch_shares), self.images_per_block * self.starts.starts
        if starts < rows:
            raise ValueError(
                f"a block must hold the {rows} rows of a batch, got {starts} starts: images_per_block * starts.starts"
            )
        # The number of channels is the first stage's; all else that a weights file refuses is refused before training.
        SecondStageHeader(
            in_channels=1, network=self.network, hypotheses=self.hypotheses, peak_calibration=Calibration()
        )

    @property
    def steps_per_block(self) -> int:
        """Steps that use up the fresh starts of a block; the first ones have fresh starts in place of results."""
        shares = self.training.batch_shares
        missing = sum(sum(shares[passes + 1 :]) for passes in range(len(shares)))  # results, in the first steps
        return max(1, (self.images_per_block * self.starts.starts - missing) // shares[0])
