"""Check of a data set: all errors in labels and images, and a contact sheet that shows the labels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from centerdet.data.config import DataConfig, read_data_config
from centerdet.data.image_io import check_brightness, normalise, read_usable
from centerdet.data.labels import ErrorCollector
from centerdet.data.splits import Item, read_split, split_images
from centerdet.drawing import contact_sheet, draw_tile
from centerdet.preprocessing import to_unit_range

TILE = 300  # px: approximate longer side of a tile of the contact sheet


def check_dataset(
    path: str | Path, *, tiles: int = 36, progress: bool = False
) -> tuple[list[str], NDArray[np.uint8] | None]:
    """Reads every label and every image of a data set.

    Args:
        path: YAML file of the data set.
        tiles: Number of images to draw with their labels, spread evenly over the splits.
        progress: Whether to show a progress bar (on a terminal only).

    Returns:
        The errors, one line each: files that cannot be read, wrong labels, objects whose centre is outside their image,
        images that are in two splits, and pixels that are all dark. And the contact sheet, RGB ``(H, W, 3)``, or
        ``None`` if there is no image to draw.

    Raises:
        ValueError: If the YAML file is wrong, or has no split.
    """
    config, root, errors = read_data_config(path), Path(path).parent, ErrorCollector()
    if not config.sources():
        raise ValueError(f"{path} has no split; add a line 'train: {{images: ..., labels: ...}}'")
    labelled, unlabelled = _read_splits(config, root, errors)
    count = len(labelled)
    drawn = set(np.linspace(0, count - 1, min(tiles, count)).astype(int).tolist())
    pictures = []
    images = _ImageCheck(config, errors)
    for number, (split, item) in enumerate(
        tqdm(labelled + unlabelled, unit="image", disable=None if progress else True)
    ):
        image = images.read(split, item.path)
        if image is not None and number in drawn:
            pictures.append(_draw_item(image, split, item, config))
    with errors.collect():
        check_brightness(max(images.brightest, default=1.0))
    return list(dict.fromkeys(errors.messages)), contact_sheet(pictures) if pictures else None


@dataclass(slots=True)
class _ImageCheck:
    """Reads images, and remembers what can only be compared between them.

    Attributes:
        config: The data set.
        errors: Receives the images that cannot be read, or are in two splits.
        brightest: Largest pixel of each image, in [0, 1].
        seen: Split and file of each image, by a hash of its pixels.
    """

    config: DataConfig
    errors: ErrorCollector
    brightest: list[float] = field(default_factory=list)
    seen: dict[str, tuple[str, Path]] = field(default_factory=dict)

    def read(self, split: str, path: Path) -> NDArray[np.float32] | None:
        """Reads one image ``(H, W)`` in [0, 1], and compares it with those before; ``None`` after an error."""
        intensity_range = self.config.intensity_range
        try:
            pixels = read_usable(path, partial(to_unit_range, intensity_range=intensity_range))
        except ValueError as error:
            self.errors.add(str(error))
            return None
        image = normalise(pixels, intensity_range)
        self.brightest.append(float(image.max()))
        key = f"{image.shape} {hashlib.sha256(image.tobytes()).hexdigest()}"
        first_split, first_path = self.seen.setdefault(key, (split, path))
        if first_split != split:
            self.errors.add(
                f"{path}: the same image is in the split {first_split}, as {first_path}; remove one of them"
            )
        return image


def _draw_item(image: NDArray[np.float32], split: str, item: Item, config: DataConfig) -> NDArray[np.uint8]:
    """Draws an image with its label, as a tile of the contact sheet."""
    caption = f"{split}: {item.path.name}{'' if item.box else ', no object'}"
    return draw_tile(image, TILE, target=item.box, caption=caption, has_heading=config.has_heading)


def _read_splits(
    config: DataConfig, root: Path, errors: ErrorCollector
) -> tuple[list[tuple[str, Item]], list[tuple[str, Item]]]:
    """Returns the images whose labels are correct, and the other images, each with the name of its split."""
    labelled, unlabelled = [], []
    for split in config.sources():
        items: list[Item] = []
        with errors.collect():
            items = read_split(config, split, root, errors)
        labelled += [(split, item) for item in items]
        paths = {item.path for item in items}
        with errors.collect():
            unlabelled += [(split, Item(path, None)) for path in split_images(config, split, root) if path not in paths]
    return labelled, unlabelled
