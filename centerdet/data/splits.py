"""A data set: the labelled images of the splits that a YAML file names; ``centerdet.data`` says what is in the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, overload

from numpy.typing import NDArray

from centerdet.box import RotatedBox
from centerdet.data.image_files import find_images, image_size, pad_small, read_image
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


class Dataset(Sequence[tuple[NDArray, RotatedBox | None]]):
    """The labelled images of one split; each is read when it is asked for.

    Args:
        items: Files and their objects.
    """

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = tuple(items)

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> tuple[NDArray, RotatedBox | None]: ...

    @overload
    def __getitem__(self, index: slice) -> Dataset: ...

    def __getitem__(self, index: int | slice) -> tuple[NDArray, RotatedBox | None] | Dataset:
        """Reads image ``index``, padded if it is small; a slice is a smaller data set. Errors as in ``read_image``."""
        if isinstance(index, slice):
            return Dataset(self.items[index])
        item = self.items[index]
        return pad_small(read_image(item.path)), item.box


def read_data_config(path: str | Path) -> DataConfig:
    """Reads a data set's YAML file, strictly; errors as in ``strict_yaml.read_yaml``."""
    return read_yaml(path, DataConfig)


def load_dataset(path: str | Path, split: Literal["train", "validation", "test"]) -> Dataset:
    """The labelled images of one split of a data set's YAML file.

    Raises:
        ValueError: If the file or the split is missing, or a label is wrong; the message names the first fault, its
            file and line, and says how many there are.
    """
    config = read_data_config(path)
    items, faults = read_split(config, split, Path(path).parent)
    if faults:
        more = f" (and {len(faults) - 1} more: centerdet check {path} lists them all)" if len(faults) > 1 else ""
        raise ValueError(f"{faults[0]}{more}")
    return Dataset(items)


def read_split(config: DataConfig, split: str, root: Path) -> tuple[list[Item], list[str]]:
    """The files of a split with their objects, and all the faults of its labels; images with faults are left out.

    Raises:
        ValueError: If the split has no folder of images or no labels at all.
    """
    where: SplitConfig | None = getattr(config, split)
    if where is None:
        raise ValueError(f"the data set has no {split} split; add a line '{split}: {{images: ..., labels: ...}}'")
    folder, labels = root / where.images, root / where.labels
    paths = find_images(folder)
    if config.format == "csv":
        found, faults = _match(folder, paths, labels, config)
    else:
        found, faults = _read_texts(folder, paths, labels, config)
    items = []
    for path, objects in found.items():
        if len(objects) > 1 and config.several == "error":
            faults.append(
                f"{objects[1].place}: a second object in {path.name}, and there may be one; remove it, "
                "or say 'several: largest' in the data set's file"
            )
            continue
        largest = max((label.box for label in objects), key=lambda box: box.width * box.height, default=None)
        items.append(Item(path, largest))
    return items, faults


def _match(
    folder: Path, paths: list[Path], labels: Path, config: DataConfig
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
    folder: Path, paths: list[Path], labels: Path, config: DataConfig
) -> tuple[dict[Path, list[Label]], list[str]]:
    """The text file of each image; one without an image is a fault, an image without one has no object."""
    if not labels.is_dir():
        raise ValueError(f"there is no folder {labels} with the labels of {folder}")
    found, faults = {}, []
    orphans = {path.relative_to(labels).with_suffix("") for path in labels.rglob("*.txt")}
    for path in paths:
        name = path.relative_to(folder).with_suffix("")
        orphans.discard(name)
        try:
            size = image_size(path)
        except ValueError as error:
            faults.append(str(error))
            continue
        text = labels / f"{name}.txt"
        objects, wrong = read_text(text, format=config.format, size=size, heading=config.heading)
        faults += wrong
        if not wrong:
            found[path] = objects
    faults += [f"{labels / name}.txt: there is no such image in {folder}" for name in sorted(orphans)]
    return found, faults
