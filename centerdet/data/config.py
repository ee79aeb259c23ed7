"""Config of a data set, read from its YAML file; the docstring of ``centerdet.data`` describes the file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from centerdet.data.drawn_box import Nose
from centerdet.data.formats import LabelFormat
from centerdet.data.rolabelimg import check_has_no_heading
from centerdet.data.ultralytics_yaml import is_ultralytics, to_data_values
from centerdet.preprocessing import check_intensity_range
from centerdet.strict_yaml import load_yaml, parse

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitConfig:
    """Files of a split.

    Attributes:
        images: Folder of the images, with its subfolders; or a ``.txt`` file with one image per line; or several of
            these.
        labels: The file of the labels, or the folder of the label files.
    """

    images: str | tuple[str, ...]
    labels: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Fractions of the train split that become other splits. A hash of an image's name chooses its split.

    Attributes:
        validation: Fraction in [0, 1).
        test: Fraction in [0, 1).

    Raises:
        ValueError: If a fraction is negative, or none of the images is left for training.
    """

    validation: float = 0.0
    test: float = 0.0

    def __post_init__(self) -> None:
        if min(self.validation, self.test) < 0 or self.validation + self.test >= 1:
            raise ValueError(f"held_out must be fractions that leave something to train on, got {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """A data set.

    Attributes:
        format: Format of the labels.
        train: Images to train on.
        validation: Images that choose the best weights and the threshold.
        test: Images for the final evaluation.
        held_out: Fractions of ``train`` that take the place of the other two.
        has_heading: Whether the order of the corners, or the yaw of a CSV file, tells nose from tail. If not, boxes
            have only an axis.
        nose: The side of a drawn box, before it is turned, that is the object's nose.
        multiple_objects: What to do with several objects in one image.
        intensity_range: Pixel values that become 0 and 1; ``None``: the full scale of the files' type.

    Raises:
        ValueError: If ``intensity_range`` does not increase, a split has both its own folder and a fraction of
            ``train``, or the format cannot have the heading or the nose.
    """

    format: LabelFormat
    train: SplitConfig | None = None
    validation: SplitConfig | None = None
    test: SplitConfig | None = None
    held_out: HeldOut = field(default_factory=HeldOut)
    has_heading: bool = True
    nose: Nose = "top"
    multiple_objects: Literal["error", "largest"] = "error"
    intensity_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        check_intensity_range(self.intensity_range)
        for split in SPLITS[1:]:
            if getattr(self.held_out, split) and (self.train is None or getattr(self, split) is not None):
                raise ValueError(f"held_out.{split} is taken from train: give train, and no {split} beside it")
        if self.format == "rolabelimg":
            check_has_no_heading(self.has_heading)
        if self.nose != "top" and (self.format == "csv" or not self.has_heading):
            reason = "the yaw of a CSV file points to the nose" if self.format == "csv" else "boxes have no heading"
            raise ValueError(f"nose must be top, got {self.nose!r}: {reason}")

    def sources(self) -> dict[str, SplitConfig]:
        """Returns the files of each split; held-out images are among the files of ``train``."""
        places = {split: getattr(self, split) or (getattr(self.held_out, split, 0) and self.train) for split in SPLITS}
        return {split: where for split, where in places.items() if where}


def read_data_config(path: str | Path) -> DataConfig:
    """Reads the YAML file of a data set, ours or Ultralytics'; errors as in ``strict_yaml.read_yaml``."""
    values = load_yaml(path)
    try:
        if is_ultralytics(values):
            values = to_data_values(values, Path(path).parent.absolute())
        return parse(DataConfig, {} if values is None else values)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
