"""A data set's YAML file, and the files and labels of the splits it names; ``centerdet.data`` says what is in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from centerdet.box import RotatedBox
from centerdet.data.image_files import find_images, image_size
from centerdet.data.labels import Label, LabelFormat, read_csv, read_text
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
class DataConfig:
    """A data set, as its YAML file describes it.

    Attributes:
        format: Of the labels.
        train: To learn from.
        validation: To choose the best weights and the threshold on.
        test: To report on.
        heading: Whether the order of the corners, or the yaw of a CSV file, says where the nose is. If not, a box's
            axis is all that is learned.
        several: What to do with several objects in one image.
        intensity: Pixel values that become 0 and 1; ``None``: the full scale of the files' type.
    """

    format: LabelFormat
    train: SplitConfig | None = None
    validation: SplitConfig | None = None
    test: SplitConfig | None = None
    heading: bool = True
    several: Literal["error", "largest"] = "error"
    intensity: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.intensity is not None and not self.intensity[0] < self.intensity[1]:
            raise ValueError(f"intensity must be two growing numbers, got {list(self.intensity)}")


class Item(NamedTuple):
    """An image file and its object."""

    path: Path
    box: RotatedBox | None


def read_data_config(path: str | Path) -> DataConfig:
    """Reads a data set's YAML file, strictly; errors as in ``strict_yaml.read_yaml``."""
    return read_yaml(path, DataConfig)


def read_split(config: DataConfig, split: str, root: Path) -> tuple[list[Item], list[str]]:
    """The files of a split with their objects, and all the faults of its labels; images with faults are left out.

    Raises:
        ValueError: If the split has no folder of images or no labels at all.
    """
    where: SplitConfig | None = getattr(config, split)
    if where is None:
        raise ValueError(f"the data set has no {split} split; add a line '{split}: {{images: ..., labels: ...}}'")
    folder, labels = root / where.images, root / where.labels
    sizes: dict[Path, tuple[int, int] | None] = {}  # None: there is no telling
    faults = []
    for path in find_images(folder):
        try:
            sizes[path] = image_size(path)
        except ValueError as error:
            sizes[path] = None
            faults.append(str(error))
    read = _match if config.format == "csv" else _read_texts
    found, wrong = read(folder, sizes, labels, config)
    items = []
    for path, objects in found.items():
        size = sizes[path]
        if size is None:
            continue
        try:
            items.append(Item(path, _choose(objects, path, size, config)))
        except ValueError as error:
            wrong.append(str(error))
    return items, wrong + faults


def _choose(objects: list[Label], path: Path, size: tuple[int, int], config: DataConfig) -> RotatedBox | None:
    """The box of an image's object; errors name file and line."""
    if not objects:
        return None
    if len(objects) > 1 and config.several == "error":
        raise ValueError(
            f"{objects[1].place}: a second object in {path.name}, and there may be one; remove it, "
            "or say 'several: largest' in the data set's file"
        )
    label = max(objects, key=lambda label: label.box.width * label.box.height)
    center, (width, height) = (label.box.x, label.box.y), size
    if not all(-0.5 <= place <= side - 0.5 for place, side in zip(center, size, strict=True)):
        raise ValueError(
            f"{label.place}: the object's centre ({center[0]:.6g}, {center[1]:.6g}) is outside the image {path.name}, "
            f"{width} x {height} px; correct the label, or the data set's format"
        )
    return label.box


def _match(
    folder: Path, paths: Iterable[Path], labels: Path, config: DataConfig
) -> tuple[dict[Path, list[Label]], list[str]]:
    """A CSV file's rows and a folder's images: either must name the other."""
    by_name, faults = read_csv(labels, heading=config.heading)
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    faults += [f"{labels}: {name} is named there, but it is not in {folder}" for name in by_name if name not in names]
    faults += [
        f"{path}: it has no row in {labels}; add one, with blanks if there is no object"
        for name, path in names.items()
        if name not in by_name
    ]
    usable = {path: by_name.get(name) for name, path in names.items()}
    return {path: objects for path, objects in usable.items() if objects is not None}, faults


def _read_texts(
    folder: Path, sizes: Mapping[Path, tuple[int, int] | None], labels: Path, config: DataConfig
) -> tuple[dict[Path, list[Label]], list[str]]:
    """The text file of each image; one without an image is a fault, an image without one has no object."""
    if not labels.is_dir():
        raise ValueError(f"there is no folder {labels} with the labels of {folder}")
    found, faults = {}, []
    orphans = {path.relative_to(labels).with_suffix("") for path in labels.rglob("*.txt")}
    for path, size in sizes.items():
        name = path.relative_to(folder).with_suffix("")
        orphans.discard(name)
        if size is None:
            continue
        text = labels / f"{name}.txt"
        objects, wrong = read_text(text, format=config.format, size=size, heading=config.heading)
        faults += wrong
        if not wrong:
            found[path] = objects
    faults += [f"{labels / name}.txt: there is no such image in {folder}" for name in sorted(orphans)]
    return found, faults
