"""The images of a split: those of a folder, of a text file with one image per line, or of several of these."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from centerdet.data.image_io import find_images
from centerdet.files import is_folder, is_present, read_regular

LIST_SUFFIX = ".txt"
MAX_BYTES = 2**28  # of a list: 256 MiB name a million images


class FoundImages(NamedTuple):
    """Images of a split.

    Attributes:
        folder: The folder that all of them are in, directly or below.
        paths: The files.
    """

    folder: Path
    paths: list[Path]


def find_split_images(images: str | Sequence[str], root: Path) -> FoundImages:
    """Finds the images of a split.

    Args:
        images: A folder, a text file, or several of these.
        root: Folder from which their paths start.

    Raises:
        ValueError: If one of them does not exist or has no image.
    """
    places = [images] if isinstance(images, str) else images
    found = [_find_in(root / place, root) for place in places]
    if len(found) == 1:
        return found[0]
    paths = list(dict.fromkeys(path for part in found for path in part.paths))
    return FoundImages(_common_folder(paths), paths)


def _find_in(place: Path, root: Path) -> FoundImages:
    if place.suffix.lower() != LIST_SUFFIX or is_folder(place):
        return FoundImages(place, find_images(place))
    paths = _read_list(place, root)
    return FoundImages(_common_folder(paths), paths)


def _read_list(path: Path, root: Path) -> list[Path]:
    """Returns the images that a text file names; lines start from its folder, or else from ``root``."""
    try:
        text = read_regular(path, max_bytes=MAX_BYTES).decode("utf-8-sig", "surrogateescape")
    except ValueError as error:
        raise ValueError(f"cannot read the list of images {path}: {error}; correct the path, or the file") from None
    images: dict[Path, None] = {}
    for number, line in enumerate(text.split("\n"), start=1):  # not splitlines, which splits some names
        if name := line.strip():
            choices = [_normalise(folder / name) for folder in (path.parent, root)]
            existing = [choice for choice in choices if is_present(choice) and not is_folder(choice)]
            if not existing:
                raise ValueError(f"{path}, line {number}: there is no file {choices[0]}; correct the line")
            images[existing[0]] = None
    if not images:
        raise ValueError(f"{path} names no image; write one path per line")
    return list(images)


def _common_folder(paths: Sequence[Path]) -> Path:
    return Path(os.path.commonpath([_normalise(path).parent for path in paths]))


def _normalise(path: Path) -> Path:
    """Returns an absolute path without ``..``; links stay as they are."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - Path.resolve would follow links
