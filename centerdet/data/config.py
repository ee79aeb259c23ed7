"""A data set's YAML file; ``centerdet.data`` says what is in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from centerdet.data.labels import LabelFormat
from centerdet.strict_yaml import read_yaml

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitConfig:
    """Where a split's files are.

    Attributes:
        images: Folder of the images, with its subfolders.
        labels: The CSV file, or the folder of the text files.
    """

    images: str
    labels: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Fractions of the train split that are splits of their own, taken by the hash of the images' names.

    Attributes:
        validation: In [0, 1).
        test: In [0, 1).
    """

    validation: float = 0.0
    test: float = 0.0

    def __post_init__(self) -> None:
        if min(self.validation, self.test) < 0 or self.validation + self.test >= 1:
            raise ValueError(f"held_out must be fractions that leave something to train on, got {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """A data set, as its YAML file describes it.

    Attributes:
        format: Of the labels.
        train: To learn from.
        validation: To choose the best weights and the threshold on.
        test: To report on.
        held_out: What is taken from ``train`` for the other two.
        has_heading: Whether the order of the corners, or the yaw of a CSV file, says where the nose is. If not, a box's
            axis is all that is learned.
        multiple_objects: What to do with several objects in one image.
        intensity_range: Pixel values that become 0 and 1; ``None``: the full scale of the files' type.
    """

    format: LabelFormat
    train: SplitConfig | None = None
    validation: SplitConfig | None = None
    test: SplitConfig | None = None
    held_out: HeldOut = field(default_factory=HeldOut)
    has_heading: bool = True
    multiple_objects: Literal["error", "largest"] = "error"
    intensity_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.intensity_range is not None and not self.intensity_range[0] < self.intensity_range[1]:
            raise ValueError(f"intensity must be two growing numbers, got {list(self.intensity_range)}")
        for split in SPLITS[1:]:
            if getattr(self.held_out, split) and (self.train is None or getattr(self, split) is not None):
                raise ValueError(f"held_out.{split} is taken from train: give train, and no {split} beside it")

    def sources(self) -> dict[str, SplitConfig]:
        """Where the files of each split are; held-out images are among those of ``train``."""
        places = {split: getattr(self, split) or (getattr(self.held_out, split, 0) and self.train) for split in SPLITS}
        return {split: where for split, where in places.items() if where}


def read_data_config(path: str | Path) -> DataConfig:
    """Reads a data set's YAML file, strictly; errors as in ``strict_yaml.read_yaml``."""
    return read_yaml(path, DataConfig)
