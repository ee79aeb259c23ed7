"""Data sets made of links to the images of another one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from centerdet.data.csv_labels import write_csv
from centerdet.data.dataset import load_training_splits
from centerdet.data.splits import Item
from centerdet.files import make_folder, write_atomically


def write_subset(data: str | Path, folder: Path, *, labels: int, seed: int) -> Path:
    """Writes a data set with some of the training images, and all validation images, as links to the files.

    The images of a seed are the first ones of a shuffled list: those of 50 labels are among those of 200. Every start
    has the same ones.

    Args:
        data: YAML file of the data set.
        folder: For the new data set.
        labels: Number of training images.
        seed: Seed of the choice.

    Returns:
        The YAML file.

    Raises:
        ValueError: If there are fewer training images.
    """
    train, validation, _ = load_training_splits(data)
    if not 1 <= labels <= len(train):
        raise ValueError(f"--labels must lie in 1..{len(train)}, the training images of {data}, got {labels}")
    chosen = np.random.default_rng(seed).permutation(len(train))[:labels]
    splits: dict[str, Sequence[Item]] = {"train": [train.items[index] for index in chosen]}
    splits["validation"] = validation.items
    settings: dict[str, Any] = {
        "format": "csv",
        "has_heading": train.has_heading,
        "intensity_range": train.intensity_range,
    }
    for split, items in splits.items():
        settings[split] = {"images": split, "labels": f"{split}.csv"}
        names = link_files([item.path for item in items], folder / split)
        write_csv(folder / f"{split}.csv", {name: item.box for name, item in zip(names, items, strict=True)})
    path = folder / "data.yaml"
    write_atomically(
        path, yaml.safe_dump({key: value for key, value in settings.items() if value is not None}).encode()
    )
    return path


def link_files(paths: Sequence[Path], folder: Path) -> list[str]:
    """Links files into a folder; returns their new names, their places in the list, with which no two files clash."""
    make_folder(folder)
    names = [f"{index:06}{path.suffix}" for index, path in enumerate(paths)]
    for name, path in zip(names, paths, strict=True):
        if not os.path.lexists(folder / name):
            (folder / name).symlink_to(path.resolve())
    return names
