"""Strict reading of ``configs/*.yaml``: the config types of the other modules put together."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from centerdet.data.augment import AugmentationConfig
from centerdet.model.centernet import NetworkConfig
from centerdet.model.codec import CodecConfig
from centerdet.model.losses import LossConfig
from centerdet.strict_yaml import read_yaml
from centerdet.synthetic.batches import CurriculumConfig
from centerdet.synthetic.scenes import ScenesConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """Settings of the loop.

    Attributes:
        seed: Of initial weights and of the series of training batches; whoever makes those two takes it from here.
        steps: Optimiser steps.
        learning_rate: At its peak.
        warmup_steps: Steps of linear warm-up, before the cosine to zero.
        weight_decay: Of the kernels.
        clip_norm: Largest norm of the gradient.
        ema_decay: Of the moving average that is validated and saved; less in the first steps, for short runs.
        precision: ``bfloat16`` autocasts; ``auto`` does so where the device is fast at it.
        log_every: Steps between lines of the journal.
        validate_every: Steps between validations.
        checkpoint_every: Steps between checkpoints.
    """

    seed: int = 0
    steps: int = 20_000
    learning_rate: float = 5e-3
    warmup_steps: int = 300
    weight_decay: float = 0.01
    clip_norm: float = 5.0
    ema_decay: float = 0.999
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    log_every: int = 50
    validate_every: int = 1000
    checkpoint_every: int = 500

    def __post_init__(self) -> None:
        counts = (self.steps, self.log_every, self.validate_every, self.checkpoint_every)
        if min(counts) < 1 or self.warmup_steps < 0 or not 0 <= self.seed < 2**63:
            raise ValueError(
                "steps and intervals must be at least 1, warmup_steps at least 0, "
                f"seed must lie in 0..{2**63 - 1}, got {self}"
            )
        if self.learning_rate <= 0 or self.clip_norm <= 0 or self.weight_decay < 0 or not 0 <= self.ema_decay < 1:
            raise ValueError(
                f"learning_rate and clip_norm must be above 0, weight_decay at least 0, ema_decay in [0, 1), got {self}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationConfig:
    """Which scenes a run is validated on.

    Attributes:
        seed: Of the scenes; not a training seed.
        scenes: How many.
        calibration_scenes: How many more calibrate the best weights' scores, and choose their threshold, in the end.
    """

    seed: int = 1_000_000
    scenes: int = 1000
    calibration_scenes: int = 10_000

    def __post_init__(self) -> None:
        if min(self.scenes, self.calibration_scenes) < 1 or self.seed < 0:
            raise ValueError(f"validation needs at least 1 scene of each kind and a seed >= 0, got {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that a training run depends on; one section of the file for each attribute."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    codec: CodecConfig = field(default_factory=CodecConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    scenes: ScenesConfig = field(default_factory=ScenesConfig)
    curriculum: CurriculumConfig = field(default_factory=CurriculumConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)

    def __post_init__(self) -> None:
        if self.network.noise_level is not None and self.scenes.noise_level > self.network.noise_level:
            raise ValueError(
                "network.noise_level must be at least scenes.noise_level, what the background never exceeds, "
                f"got {self.network.noise_level} and {self.scenes.noise_level}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, as the file holds them."""
        return TypeAdapter(Config).dump_python(self, mode="json")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesConfig:
    """How to train on images of one's own; what the data set is, its own file says.

    The defaults are the values of ``configs/images.yaml``.

    Attributes:
        network: As in ``Config``, for a start from scratch; ``noise_level`` is unknown unless it is given.
        size_unit: Of the codec; ``None``: the geometric mean of the training boxes' extents sqrt(width * height).
        loss: As in ``Config``.
        training: As in ``Config``.
        batch_size: Images in a batch.
        crop_size: Side in pixels of the square windows that training sees, at least 64, cut down to the images' sides;
            ``None``: half as long again as the diagonals of nearly all training boxes, at least 96.
        augmentation: What may happen to the images before.
    """

    network: NetworkConfig = field(default_factory=lambda: NetworkConfig(noise_level=None))
    size_unit: float | None = None
    loss: LossConfig = field(default_factory=LossConfig)
    training: TrainingConfig = field(default_factory=lambda: TrainingConfig(steps=6000, learning_rate=4e-3))
    batch_size: int = 16
    crop_size: int | None = None
    augmentation: AugmentationConfig = field(
        default_factory=lambda: AugmentationConfig(
            flips=True, quarter_turns=True, rotation=20.0, scale=(0.9, 1.1), brightness=0.1, contrast=0.1
        )
    )

    def __post_init__(self) -> None:
        if self.size_unit is not None and not 0 < self.size_unit < math.inf:
            raise ValueError(f"size_unit must be finite and above 0, got {self.size_unit}")


def read_config(path: str | Path) -> Config:
    """Reads a config file, strictly; errors as in ``strict_yaml.read_yaml``."""
    return read_yaml(path, Config)


def read_images_config(path: str | Path) -> ImagesConfig:
    """Reads a config file for images of one's own, strictly; errors as in ``strict_yaml.read_yaml``.

    What a section leaves out is as in ``ImagesConfig()``; but a section ``augmentation`` holds all that happens.
    """
    defaults = TypeAdapter(ImagesConfig).dump_python(ImagesConfig(), mode="json")
    del defaults["augmentation"]
    return read_yaml(path, ImagesConfig, defaults)
