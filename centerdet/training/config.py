"""Configs of the training loop and of whole runs, and strict readers of ``configs/*.yaml``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from centerdet.cropping import check_batch_size
from centerdet.data.augment import AugmentationConfig
from centerdet.model.centernet import NetworkConfig
from centerdet.model.codec import CodecConfig
from centerdet.model.losses import LossConfig
from centerdet.synthetic.batches import CurriculumConfig
from centerdet.synthetic.scenes import ScenesConfig
from centerdet.training.optim_config import MAX_COUNT, OptimConfig
from centerdet.training.overrides import read_with_overrides
from centerdet.training.second_stage_config import SecondStageRecipe

MAX_SEED = 2**63 - 1  # the largest seed that torch takes
MAX_SCENES = 1_000_000  # of the validation
MAX_MINUTES = 1e7  # 19 years


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig(OptimConfig):
    """Settings of the training loop, besides those of ``OptimConfig``.

    Attributes:
        seed: Seed of the initial weights and of the training batches, in 0..``MAX_SEED``. ``fit`` takes both as they
            are; the functions that make them read the seed here.
        steps: Number of optimiser steps.
        log_every: Steps between log entries.
        validate_every: Steps between validations.
        checkpoint_every: Steps between checkpoints.
        max_minutes: Time of the whole run, about; see ``schedule``. ``fit`` takes it for its own part; the functions
            that do more divide it. The schedule ends with it, if ``steps`` are not done before. ``None``: no limit.
            With a limit, a resumed run is not identical to an uninterrupted one.
        patience: Validations without improvement after which the rest of the schedule is shortened. ``None``: never.

    Raises:
        ValueError: If a number is out of range.
    """

    seed: int = 0
    steps: int = 20_000
    log_every: int = 50
    validate_every: int = 1000
    checkpoint_every: int = 500
    max_minutes: float | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        OptimConfig.__post_init__(self)
        self.check_counts(self.steps, self.log_every, self.validate_every, self.checkpoint_every)
        if not 0 <= self.seed <= MAX_SEED:
            raise ValueError(f"seed must lie in 0..{MAX_SEED}, got {self.seed}")
        if self.max_minutes is not None and not 0 < self.max_minutes <= MAX_MINUTES:
            raise ValueError(
                f"max_minutes must be above 0, at most {MAX_MINUTES:,.0f}, or null, got {self.max_minutes}"
            )
        if self.patience is not None and not 1 <= self.patience <= MAX_COUNT:
            raise ValueError(f"patience must be at least 1 validation, or null, got {self.patience}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationConfig:
    """The synthetic scenes that validate and calibrate a run.

    Attributes:
        seed: Seed of the scenes, >= 0; they differ from all training scenes.
        scenes: Number of validation scenes.
        calibration_scenes: Number of further scenes that calibrate the scores of the best weights after training, and
            choose their threshold.

    Raises:
        ValueError: If a number is out of range.
    """

    seed: int = 1_000_000
    scenes: int = 1000
    calibration_scenes: int = 10_000

    def __post_init__(self) -> None:
        if not 1 <= self.scenes <= MAX_SCENES or not 1 <= self.calibration_scenes <= MAX_COUNT or self.seed < 0:
            raise ValueError(
                f"validation needs from 1 to {MAX_SCENES:,} scenes, which are kept in memory, from 1 to {MAX_COUNT:,} "
                f"calibration_scenes and a seed of at least 0, got {self}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that a training run on synthetic scenes depends on: one section of the file per attribute."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    codec: CodecConfig = field(default_factory=CodecConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    scenes: ScenesConfig = field(default_factory=ScenesConfig)
    curriculum: CurriculumConfig = field(default_factory=CurriculumConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    second_stage: SecondStageRecipe | None = None

    def __post_init__(self) -> None:
        if self.network.noise_level is not None and self.scenes.noise_level > self.network.noise_level:
            raise ValueError(
                "network.noise_level must be at least scenes.noise_level, the highest value of the background, "
                f"got {self.network.noise_level} and {self.scenes.noise_level}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Returns nested plain values, as in the file."""
        return TypeAdapter(Config).dump_python(self, mode="json")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesConfig:
    """Settings of training on a data set; the data set's own file describes the data.

    The defaults are the values of ``configs/images.yaml``; ``defaults.default_config`` has those for a data set's size.

    Attributes:
        network: The network, if training starts from scratch. By default the noise level of the images is unknown.
        size_unit: The codec's unit of size, px; ``None``: the geometric mean of sqrt(width * height) of the boxes.
        loss: Weights and shape of the loss.
        training: Settings of the loop.
        batch_size: Number of crops in a batch.
        crop_size: Side of the square training crops, px, at least 64; smaller images are used whole. ``None``: 1.5
            times the diagonal of the boxes (95th percentile), rounded up to a multiple of 32, at least 96.
        growing_crops: Begin with crops of half of ``crop_size`` and end with larger ones: ``sizes.CROP_PHASES``.
        measure_noise_level: If the network has no ``noise_level``, and the images have a uniform background up to a
            common level, train with that level, and change the images by flips and quarter turns alone, since other
            changes alter the pixels' values.
        augmentation: Random changes of the images before they are cropped.

    Raises:
        ValueError: If ``size_unit`` or ``batch_size`` is out of range.
    """

    network: NetworkConfig = field(default_factory=lambda: NetworkConfig(noise_level=None))
    size_unit: float | None = None
    loss: LossConfig = field(default_factory=LossConfig)
    training: TrainingConfig = field(default_factory=lambda: TrainingConfig(steps=6000, learning_rate=4e-3))
    batch_size: int = 16
    crop_size: int | None = None
    growing_crops: bool = True
    measure_noise_level: bool = True
    augmentation: AugmentationConfig = field(
        default_factory=lambda: AugmentationConfig(
            flips=True, quarter_turns=True, rotation=20.0, scale=(0.9, 1.1), brightness=0.1, contrast=0.1
        )
    )
    second_stage: SecondStageRecipe | None = None

    def __post_init__(self) -> None:
        CodecConfig(size_unit=1.0 if self.size_unit is None else self.size_unit)
        check_batch_size(self.batch_size)


def read_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Reads the config of a run on synthetic scenes.

    Args:
        path: The file.
        overrides: As in ``overrides.apply_overrides``.

    Raises:
        ValueError: If the file cannot be read, or a key or value is not allowed (see ``strict_yaml.read_yaml``).
    """
    return read_with_overrides(path, Config, overrides)


def read_images_config(
    path: str | Path | None, overrides: Sequence[str] = (), *, base: ImagesConfig | None = None
) -> ImagesConfig:
    """Reads the config of a run on a data set.

    Keys that a section leaves out have the values of ``ImagesConfig()``. The exception is ``augmentation``: changes
    that its section leaves out do not happen.

    Args:
        path: The file; ``None``: the values of ``base``.
        overrides: As in ``overrides.apply_overrides``. They change the file's values, or else those of ``base``.
        base: Settings if there is no file; ``None``: ``ImagesConfig()``.

    Raises:
        ValueError: If the file cannot be read, or a key or value is not allowed (see ``strict_yaml.read_yaml``).
    """
    defaults = TypeAdapter(ImagesConfig).dump_python(ImagesConfig(), mode="json")
    start = {"augmentation": defaults.pop("augmentation")}
    if path is None and base is not None:
        start = TypeAdapter(ImagesConfig).dump_python(base, mode="json")
    return read_with_overrides(path, ImagesConfig, overrides, defaults, start=start)
