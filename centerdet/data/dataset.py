"""A data set's labelled images, each read when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal, overload

from numpy.typing import NDArray

from centerdet.box import RotatedBox
from centerdet.data.config import DataConfig, read_data_config
from centerdet.data.image_io import pad_small, read_usable
from centerdet.data.splits import Item, read_split
from centerdet.preprocessing import to_unit_range


class Dataset(Sequence[tuple[NDArray, RotatedBox | None]]):
    """The labelled images of one split; each is read when it is asked for.

    Attributes:
        has_heading: As in ``DataConfig``.
        intensity_range: As in ``DataConfig``; the pixels are given as the files have them.

    Args:
        items: Files and their objects.
        config: Of the data set.
    """

    def __init__(self, items: Sequence[Item], config: DataConfig) -> None:
        self.items, self._config = tuple(items), config
        self.has_heading, self.intensity_range = config.has_heading, config.intensity_range

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> tuple[NDArray, RotatedBox | None]: ...

    @overload
    def __getitem__(self, index: slice) -> Dataset: ...

    def __getitem__(self, index: int | slice) -> tuple[NDArray, RotatedBox | None] | Dataset:
        """Reads image ``index``, padded if it is small; a slice is a smaller data set.

        Raises:
            ValueError: If the file cannot be read, or holds other pixels than ``images.to_unit_range`` takes.
        """
        if isinstance(index, slice):
            return Dataset(self.items[index], self._config)
        path, box = self.items[index]
        # Whoever uses the pixels will check them, too, but could not say which file they are from.
        image = read_usable(path, partial(to_unit_range, intensity_range=self.intensity_range))
        return pad_small(image), box


def load_dataset(path: str | Path, split: Literal["train", "validation", "test"]) -> Dataset:
    """The labelled images of one split of a data set's YAML file.

    Raises:
        ValueError: If the file or the split is missing, or a label is wrong; the message names the first fault, its
            file and line, and says how many there are.
    """
    config = read_data_config(path)
    items, errors = read_split(config, split, Path(path).parent)
    if errors:
        more = f" (and {len(errors) - 1} more: centerdet check {path} lists them all)" if len(errors) > 1 else ""
        raise ValueError(f"{errors[0]}{more}")
    return Dataset(items, config)
