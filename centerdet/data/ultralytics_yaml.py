"""The ``data.yaml`` of Ultralytics and Roboflow: ``path``, ``train``, ``val``, ``test`` and ``names``.

A split is a folder of images, a ``.txt`` file with one image per line, or a list of these. Keys of
``config.DataConfig`` that say what the labels mean may stand beside them; Ultralytics ignores them.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from centerdet.files import is_folder, is_present

_SPLITS = {"train": "train", "val": "validation", "test": "test"}
_MEANING = ("has_heading", "nose", "multiple_objects", "intensity_range")  # keys of ours
_OURS_ONLY = ("format", "validation", "held_out")
_SIMILARITY = (
    0.75  # of difflib: an unknown key that is so near to one of ours is a typing error, not one of Ultralytics
)


def is_ultralytics(values: Any) -> bool:
    """Returns whether the content of a YAML file is that of an Ultralytics data set."""
    if not isinstance(values, Mapping) or any(key in values for key in _OURS_ONLY):
        return False
    return any(key in values for key in ("names", "nc", "val", "path"))


def to_data_values(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Returns the values of a ``config.DataConfig`` for the content of an Ultralytics file.

    By default, boxes have no heading: Ultralytics' labels tell no nose from tail unless their author says so.

    Args:
        values: The content of the file.
        folder: Folder of the file. ``path`` starts from it, and so do the splits if ``path`` does not exist.

    Raises:
        ValueError: If a key is misspelt, or a split is no text or list of texts.
    """
    for key in set(map(str, values)) - {*_SPLITS, *_MEANING}:
        if near := difflib.get_close_matches(key, [*_SPLITS, *_MEANING], n=1, cutoff=_SIMILARITY):
            raise ValueError(f"unknown key {key!r}; did you mean {near[0]!r}?")
    root = _find_root(values.get("path"), folder)
    data: dict[str, Any] = {"format": "ultralytics", "has_heading": False}
    for theirs, ours in _SPLITS.items():
        places = values.get(theirs) or []
        places = [places] if isinstance(places, str) else places
        if not isinstance(places, list) or not all(isinstance(place, str) for place in places):
            raise ValueError(f"{theirs} must be a folder, a list of images (.txt), or several of these, got {places!r}")
        if places:
            images = [str(_find_place(place, root)) for place in places]
            data[ours] = {"images": images, "labels": images[0]}
    return {**data, **{key: values[key] for key in _MEANING if key in values}}


def format_data_yaml(splits: Mapping[str, str], *, has_heading: bool = True) -> str:
    """Returns the text of a ``data.yaml`` with one class.

    Args:
        splits: Folder of the images of each split, from the folder of the file: ``train``, ``val``, ``test``.
        has_heading: Whether the first two corners of the labels are the nose.
    """
    lines = [f"{split}: {folder}" for split, folder in splits.items()]
    heading = f"has_heading: {str(has_heading).lower()}  # for centerdet; Ultralytics ignores it"
    return "\n".join(["path: .", *lines, "names:", "  0: object", heading]) + "\n"


def _find_root(path: Any, folder: Path) -> Path:
    """Returns the folder from which the splits start."""
    root = folder / path if isinstance(path, str) else folder
    return root if is_folder(root) else folder  # the file may come from another computer


def _find_place(place: str, root: Path) -> Path:
    """Returns the path of a split; Roboflow writes ``../train/images`` for ``train/images``."""
    path = root / place
    if not is_present(path) and place.startswith("../"):
        return root / place.removeprefix("../")
    return path
