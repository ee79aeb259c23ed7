"""Everything that is wrong with a data set, found in one run, and a look at its labels."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from centerdet.data.config import DataConfig, read_data_config
from centerdet.data.image_io import check_brightness, read_usable, show
from centerdet.data.splits import Item, read_split, split_images
from centerdet.drawing import contact_sheet, draw_tile
from centerdet.preprocessing import to_unit_range

_TILE = 300  # px: about the longer side of a picture on the sheet


def check_dataset(
    path: str | Path, *, tiles: int = 36, progress: bool = False
) -> tuple[list[str], NDArray[np.uint8] | None]:
    """Reads every label and every image of a data set.

    Args:
        path: The data set's YAML file.
        tiles: How many images to draw with their labels, spread evenly over the splits.
        progress: Whether to show a progress bar (on a terminal only).

    Returns:
        The faults, one line each: unreadable files, wrong labels, objects whose centre is outside their image, images
        of one split that are in another, too, pixels that are all dark. And the contact sheet, RGB ``(H, W, 3)``;
        ``None`` if there is no image to draw.

    Raises:
        ValueError: If the YAML file itself is wrong, or has no split.
    """
    config, root = read_data_config(path), Path(path).parent
    if not config.sources():
        raise ValueError(f"{path} has no split; add a line 'train: {{images: ..., labels: ...}}'")
    items, others, errors = _read_labels(config, root)
    scale = partial(to_unit_range, intensity_range=config.intensity_range)
    pictures = []
    drawn = set(np.linspace(0, len(items) - 1, min(tiles, len(items))).astype(int).tolist()) if items else set()
    seen: dict[str, tuple[str, Path]] = {}
    brightest = []
    for number, (name, item) in enumerate(tqdm(items + others, unit="image", disable=None if progress else True)):
        try:
            image = show(read_usable(item.path, scale), config.intensity_range)
        except ValueError as error:
            errors.append(str(error))
            continue
        brightest.append(float(image.max()))
        if number in drawn:
            caption = f"{name}: {item.path.name}{'' if item.box else ', no object'}"
            pictures.append(draw_tile(image, _TILE, target=item.box, caption=caption, has_heading=config.has_heading))
        first = seen.setdefault(f"{image.shape} {hashlib.sha256(image.tobytes()).hexdigest()}", (name, item.path))
        if first[0] != name:
            errors.append(f"{item.path}: the same image is in the split {first[0]}, as {first[1]}; remove one of them")
    try:
        check_brightness(max(brightest, default=1.0))
    except ValueError as error:
        errors.append(str(error))
    return list(dict.fromkeys(errors)), contact_sheet(pictures) if pictures else None


def _read_labels(config: DataConfig, root: Path) -> tuple[list[tuple[str, Item]], list[tuple[str, Item]], list[str]]:
    """Images with their labels, those whose labels have faults, each with its split's name, and the faults."""
    items, others, errors = [], [], []
    for name in config.sources():
        predicted: list[Item] = []
        try:
            predicted, wrong = read_split(config, name, root)
        except ValueError as error:
            wrong = [str(error)]
        errors += wrong
        items += [(name, item) for item in predicted]
        labelled = {item.path for item in predicted}
        try:
            others += [(name, Item(path, None)) for path in split_images(config, name, root) if path not in labelled]
        except ValueError as error:
            errors.append(str(error))
    return items, others, errors
