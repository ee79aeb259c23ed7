"""Everything that is wrong with a data set, found in one run, and a look at its labels."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from centerdet.data.dataset import SPLITS, DataConfig, Item, read_data_config, read_split
from centerdet.data.image_files import find_images, read_image, show
from centerdet.viz import contact_sheet, draw_tile

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
        of one split that are in another, too. And the contact sheet, RGB ``(H, W, 3)``;
        ``None`` if there is no image to draw.

    Raises:
        ValueError: If the YAML file itself is wrong, or has no split.
    """
    config, root = read_data_config(path), Path(path).parent
    names = [name for name in SPLITS if getattr(config, name) is not None]
    if not names:
        raise ValueError(f"{path} has no split; add a line 'train: {{images: ..., labels: ...}}'")
    faults: list[str] = []
    items: list[tuple[str, Item]] = []
    others: list[tuple[str, Item]] = []  # images whose labels have faults
    for name in names:
        try:
            found, wrong = read_split(config, name, root)
        except ValueError as error:
            faults.append(str(error))
            continue
        items += [(name, item) for item in found]
        faults += wrong
        labelled = {item.path for item in found}
        paths = find_images(root / getattr(config, name).images)
        others += [(name, Item(path, None)) for path in paths if path not in labelled]
    pictures = []
    drawn = set(np.linspace(0, len(items) - 1, min(tiles, len(items))).astype(int).tolist()) if items else set()
    seen: dict[str, tuple[str, Path]] = {}
    for number, (name, item) in enumerate(tqdm(items + others, unit="image", disable=None if progress else True)):
        fault, image = _check_image(item, config)
        faults += [fault] if fault else []
        if image is None:
            continue
        if number in drawn:
            caption = f"{name}: {item.path.name}{'' if item.box else ', no object'}"
            pictures.append(draw_tile(image, _TILE, truth=item.box, caption=caption, heading=config.heading))
        first = seen.setdefault(f"{image.shape} {hashlib.sha256(image.tobytes()).hexdigest()}", (name, item.path))
        if first[0] != name:
            faults.append(f"{item.path}: the same image is in the split {first[0]}, as {first[1]}; remove one of them")
    return list(dict.fromkeys(faults)), contact_sheet(pictures) if pictures else None


def _check_image(item: Item, config: DataConfig) -> tuple[str | None, NDArray | None]:
    """The fault of one image, if any, and the image in [0, 1], if it can be used."""
    try:
        image = show(read_image(item.path), config.intensity)
    except ValueError as error:
        text = str(error)
        return (text if str(item.path) in text else f"{item.path}: {text}"), None
    height, width = image.shape
    if item.box and not (-0.5 <= item.box.x <= width - 0.5 and -0.5 <= item.box.y <= height - 0.5):
        return (
            f"{item.path}: the object's centre ({item.box.x:.1f}, {item.box.y:.1f}) is outside the image, "
            f"{width} x {height}; correct the label"
        ), image
    return None, image
