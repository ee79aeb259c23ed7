"""The files of a data set's splits, with their labels."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from centerdet.box import RotatedBox
from centerdet.data.config import DataConfig, HeldOut
from centerdet.data.image_io import find_images, image_size
from centerdet.data.labels import Label, read_csv, read_text

_CLASSES = "classes"  # labelling tools write the classes' names to classes.txt, beside the labels


class Item(NamedTuple):
    """An image file and its object."""

    path: Path
    box: RotatedBox | None


def split_images(config: DataConfig, split: str, root: Path) -> list[Path]:
    """The image files of a split.

    Raises:
        ValueError: If the data set has no such split, or there is no image for it.
    """
    where, held_out = config.sources().get(split), config.held_out
    if where is None:
        raise ValueError(
            f"the data set has no {split} split; add a line '{split}: {{images: ..., labels: ...}}'"
            + ("" if split == "train" else f", or 'held_out: {{{split}: 0.1}}' to take it from train")
        )
    folder = root / where.images
    paths = find_images(folder)
    if where is config.train and held_out != HeldOut():
        paths = [path for path in paths if _drawn(path.relative_to(folder).as_posix(), held_out) == split]
        if not paths:
            raise ValueError(f"no image of {folder} is left for the {split} split; change held_out, or name its folder")
    return paths


def _drawn(name: str, held_out: HeldOut) -> str:
    """The split that an image belongs to, whatever other images there are."""
    chance = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") / 2**32
    if chance < held_out.test:
        return "test"
    return "validation" if chance < held_out.test + held_out.validation else "train"


def read_split(config: DataConfig, split: str, root: Path) -> tuple[list[Item], list[str]]:
    """The files of a split with their objects, and all the faults of its labels; images with faults are left out.

    Raises:
        ValueError: If the split, or one that shares its labels, has no folder of images, or there are no labels at all.
    """
    sizes: dict[Path, tuple[int, int] | None] = {}  # None: there is no telling
    errors = []
    for path in split_images(config, split, root):
        try:
            sizes[path] = image_size(path)
        except ValueError as error:
            sizes[path] = None
            errors.append(str(error))
    where = config.sources()[split]
    read = _match if config.format == "csv" else _read_texts
    known, doubles = _names(config, root / where.labels, root)
    found, wrong = read(root / where.images, sizes, root / where.labels, config, known)
    wrong += doubles
    items = []
    for path, objects in found.items():
        size = sizes[path]
        if size is None:
            continue
        try:
            items.append(Item(path, _choose(objects, path, size, config)))
        except ValueError as error:
            wrong.append(str(error))
    return items, wrong + errors


def _choose(objects: list[Label], path: Path, size: tuple[int, int], config: DataConfig) -> RotatedBox | None:
    """The box of an image's object; errors name file and line."""
    if not objects:
        return None
    if len(objects) > 1 and config.multiple_objects == "error":
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


def _names(config: DataConfig, labels: Path, root: Path) -> tuple[set[str], list[str]]:
    """The images that these labels may name, below the folders of all splits that have them; and faults.

    It is a fault if a row, or a text file, is for images in two folders: a table goes by the whole name, a text file by
    the name without its suffix.
    """
    names: set[str] = set()
    first: dict[str, Path] = {}
    errors = []
    for folder in dict.fromkeys(
        root / where.images for where in config.sources().values() if root / where.labels == labels
    ):
        for path in find_images(folder):
            name = path.relative_to(folder)
            names.add(name.as_posix())
            other = first.setdefault(str(name if config.format == "csv" else name.with_suffix("")), path)
            if not other.is_relative_to(folder):
                errors.append(
                    f"{labels} has one label for {other} and {path}; rename one, or give each split its labels"
                )
    return names, errors


def _match(
    folder: Path, sizes: Mapping[Path, object], labels: Path, config: DataConfig, known: set[str]
) -> tuple[dict[Path, list[Label]], list[str]]:
    """A CSV file's rows and a folder's images: either must name the other."""
    by_name, errors = read_csv(labels, has_heading=config.has_heading)
    names = {path.relative_to(folder).as_posix(): path for path in sizes}
    if by_name and not known & set(by_name):
        raise ValueError(
            f"{labels} names no image: names start from the folder of a split's images, as {min(known)!r}, "
            f"got {next(iter(by_name))!r}"
        )
    errors += [f"{labels}: {name} is named there, but it is not in {folder}" for name in by_name if name not in known]
    errors += [
        f"{path}: it has no row in {labels}; add one, with blanks if there is no object"
        for name, path in names.items()
        if name not in by_name
    ]
    return {path: objects for name, path in names.items() if (objects := by_name.get(name)) is not None}, errors


def _read_texts(
    folder: Path, sizes: Mapping[Path, tuple[int, int] | None], labels: Path, config: DataConfig, known: set[str]
) -> tuple[dict[Path, list[Label]], list[str]]:
    """The text file of each image; one without an image is a fault, an image without one has no object."""
    if not labels.is_dir():
        raise ValueError(f"there is no folder {labels} with the labels of {folder}")
    found, errors = {}, []
    for path, size in sizes.items():
        if size is None:
            continue
        text = labels / path.relative_to(folder).with_suffix(".txt")
        objects, wrong = read_text(text, format=config.format, size=size, has_heading=config.has_heading)
        errors += wrong
        if not wrong:
            found[path] = objects
    wanted = {Path(name).with_suffix("") for name in known} | {Path(_CLASSES)}
    orphans = sorted(text for text in labels.rglob("*.txt") if text.relative_to(labels).with_suffix("") not in wanted)
    return found, errors + [f"{text}: there is no such image in {folder}" for text in orphans]
