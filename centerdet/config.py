"""Strict reading of ``configs/*.yaml``: the config types of the other modules put together."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from centerdet.codec import CodecConfig
from centerdet.losses import LossConfig
from centerdet.network import NetworkConfig
from centerdet.run import TrainingConfig
from centerdet.scene_batches import CurriculumConfig
from centerdet.scenes import ScenesConfig
from centerdet.strict_yaml import read_yaml


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


def read_config(path: str | Path) -> Config:
    """Reads a config file, strictly; errors as in ``strict_yaml.read_yaml``."""
    return read_yaml(path, Config)
