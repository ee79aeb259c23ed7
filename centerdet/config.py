"""Strict reading of ``configs/*.yaml``: the config types of the other modules put together."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import yaml
from pydantic import TypeAdapter, ValidationError

from centerdet.codec import CodecConfig
from centerdet.losses import LossConfig
from centerdet.network import NetworkConfig
from centerdet.run import TrainingConfig
from centerdet.scene_batches import CurriculumConfig
from centerdet.scenes import ScenesConfig


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
    calibration_scenes: int = 20_000

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
    """Reads a config file; sections and keys that are left out have their defaults.

    Raises:
        ValueError: If it cannot be read, is not YAML, or a key or value is not allowed; the message names it.
    """
    try:
        values = yaml.load(Path(path).read_text(encoding="utf-8"), _StrictLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"cannot read config {path}: {' '.join(str(error).split())}") from None
    try:
        return parse_config({} if values is None else values)
    except ValueError as error:
        raise ValueError(f"config {path}: {error}") from None


def parse_config(values: Any) -> Config:
    """Turns what a file holds into a ``Config``, strictly: no unknown keys, no converted types.

    Raises:
        ValueError: If a key or value is not allowed.
    """
    _refuse_unknown(values, Config, "")
    try:
        text = json.dumps(values, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"only finite numbers, text, lists and sections are allowed: {error}") from None
    try:
        # JSON mode: strict about types, but lists are tuples and whole numbers are floats where those are wanted.
        return TypeAdapter(Config).validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where, message = ".".join(str(part) for part in first["loc"]), first["msg"].removeprefix("Value error, ")
        seen = "" if "got" in message else f", got {first['input']!r}"
        raise ValueError(f"{where}: {message}{seen}".removeprefix(": ")) from None


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe loader, but a key that stands twice in a section is an error (the last one would win in silence)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if double := sorted({str(key) for key in keys if keys.count(key) > 1}):
            raise yaml.constructor.ConstructorError(None, None, f"key {double[0]!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _refuse_unknown(values: Any, kind: type, where: str) -> None:
    """Walks sections, and lists of sections, in step with the dataclass that they become."""
    if not isinstance(values, Mapping):
        raise ValueError(f"{where or 'the file'} must hold 'key: value' lines, got {values!r}")
    hints = get_type_hints(kind)
    names = [entry.name for entry in fields(kind)]
    for key, value in values.items():
        place = f"{where}.{key}" if where else str(key)
        if key not in names:
            near = difflib.get_close_matches(str(key), names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}"
            raise ValueError(f"unknown key {place!r}; {hint}")
        if is_dataclass(hints[key]):
            _refuse_unknown(value, hints[key], place)
        elif (items := get_args(hints[key])) and is_dataclass(items[0]) and isinstance(value, list):
            for index, item in enumerate(value):
                _refuse_unknown(item, items[0], f"{place}.{index}")
