"""Image files of a data set's splits, with their labels."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from centerdet.box import RotatedBox
from centerdet.data.config import DataConfig, HeldOut
from centerdet.data.drawn_box import turn_nose
from centerdet.data.formats import READERS
from centerdet.data.image_io import image_size
from centerdet.data.image_lists import find_split_images
from centerdet.data.labels import ErrorCollector, ImageFolder, Label, LabelReader

MIN_EXTENT = 0.1  # px, of an object: training in single precision cannot use far smaller ones
MAX_EXTENT = 10  # longer sides of its image: more is a typing error

Size = tuple[int, int]  # width, height, px


class Item(NamedTuple):
    """An image file and the box of its object, or ``None``."""

    path: Path
    box: RotatedBox | None


def split_images(config: DataConfig, split: str, root: Path) -> list[Path]:
    """Returns the image files of a split.

    Args:
        config: The data set.
        split: Name of the split.
        root: Folder from which the paths of the config start.

    Raises:
        ValueError: If the data set has no such split, or the split has no image.
    """
    where, held_out = config.sources().get(split), config.held_out
    if where is None:
        raise ValueError(
            f"the data set has no {split} split; add a line '{split}: {{images: ..., labels: ...}}'"
            + ("" if split == "train" else f", or 'held_out: {{{split}: 0.1}}' to take it from train")
        )
    folder, paths = find_split_images(where.images, root)
    if where is config.train and held_out != HeldOut():
        paths = [path for path in paths if _assign_split(path.relative_to(folder).as_posix(), held_out) == split]
        if not paths:
            raise ValueError(f"no image of {folder} is left for the {split} split; change held_out, or name its folder")
    return paths


def _assign_split(name: str, held_out: HeldOut) -> str:
    """Chooses the split of an image from its name alone: other images make no difference."""
    chance = int.from_bytes(hashlib.sha256(name.encode(errors="surrogateescape")).digest()[:4], "big") / 2**32
    if chance < held_out.test:
        return "test"
    return "validation" if chance < held_out.test + held_out.validation else "train"


def read_split(
    config: DataConfig, split: str, root: Path, errors: ErrorCollector, *, unreadable: ErrorCollector | None = None
) -> list[Item]:
    """Reads the labels of a split.

    Args:
        config: The data set.
        split: Name of the split.
        root: Folder from which the paths of the config start.
        errors: Receives the errors in labels, then the files that are no images.
        unreadable: Receives the files that are no images, in place of ``errors``.

    Returns:
        The images with their boxes. Images with errors are left out.

    Raises:
        ValueError: If the split, or one that shares its labels, has no folder of images, or there are no labels.
    """
    paths = split_images(config, split, root)
    where, reader, image_errors = config.sources()[split], READERS[config.format], ErrorCollector()
    folder, labels = find_split_images(where.images, root).folder, root / where.labels
    files = {path.relative_to(folder).as_posix(): path for path in paths}
    sizes = {name: _read_size(path, image_errors) for name, path in files.items()}
    names = _names_by_folder(config, labels, root)
    images = ImageFolder(folder=folder, sizes=sizes, known_names=set().union(*names.values()))
    found = reader.read_labels(labels, images, has_heading=config.has_heading, errors=errors)
    _check_unique(names, labels, reader, errors)
    items = []
    for name, objects in found.items():
        size = sizes[name]
        if size is not None:
            with errors.collect():
                items.append(Item(files[name], _choose_box(objects, files[name], size, config)))
    (errors if unreadable is None else unreadable).messages += image_errors.messages
    return items


def _read_size(path: Path, errors: ErrorCollector) -> Size | None:
    """Returns an image's width and height, or adds an error and returns ``None``."""
    try:
        return image_size(path)
    except ValueError as error:
        errors.add(str(error))
        return None


def _names_by_folder(config: DataConfig, labels: Path, root: Path) -> dict[Path, list[str]]:
    """Returns the image folders of all splits that have these labels, with the names of their images."""
    places = dict.fromkeys(where.images for where in config.sources().values() if root / where.labels == labels)
    names: dict[Path, list[str]] = {}
    for folder, paths in (find_split_images(images, root) for images in places):
        names.setdefault(folder, []).extend(path.relative_to(folder).as_posix() for path in paths)
    return names


def _check_unique(
    names: Mapping[Path, Sequence[str]], labels: Path, reader: LabelReader, errors: ErrorCollector
) -> None:
    """Adds an error for each label that stands for images in two folders."""
    first: dict[str, tuple[Path, str]] = {}
    for folder, inside in names.items():
        for name in inside:
            other, other_name = first.setdefault(reader.image_key(name), (folder, name))
            if other != folder:
                errors.add(
                    f"{labels} has one label for {other / other_name} and {folder / name}; "
                    "rename one, or give each split its own labels"
                )


def _choose_box(labels: Sequence[Label], path: Path, size: Size, config: DataConfig) -> RotatedBox | None:
    """Returns the box of an image's object; the largest of several, if the data set allows them.

    Raises:
        ValueError: If there are several objects and the data set does not allow them, or if the object's centre is
            outside the image. The message names file and line.
    """
    if not labels:
        return None
    if len(labels) > 1 and config.multiple_objects == "error":
        raise ValueError(
            f"{labels[1].place}: a second object in {path.name}, and there may be one; remove it, "
            "or write 'multiple_objects: largest' in the data set's file"
        )
    label = max(labels, key=lambda label: label.box.width * label.box.height)
    center, (width, height) = (label.box.x, label.box.y), size
    if not all(-0.5 <= place <= side - 0.5 for place, side in zip(center, size, strict=True)):
        raise ValueError(
            f"{label.place}: the object's centre ({center[0]:.6g}, {center[1]:.6g}) is outside the image {path.name}, "
            f"{width} x {height} px; correct the label, or the data set's format"
        )
    extents = (label.box.width, label.box.height)
    if not MIN_EXTENT <= min(extents) <= max(extents) <= MAX_EXTENT * max(size):
        raise ValueError(
            f"{label.place}: the object has {extents[0]:.6g} x {extents[1]:.6g} px in the image {path.name}, "
            f"{width} x {height} px, and {MIN_EXTENT} to {MAX_EXTENT * max(size)} px are possible; correct the "
            "label, or the data set's format"
        )
    return turn_nose(label.box, config.nose)
