"""Labelled images of a data set; each image is read when it is used, with a cache on request."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, overload

from numpy.typing import NDArray

from centerdet.box import RotatedBox
from centerdet.data.config import DataConfig, read_data_config
from centerdet.data.image_io import pad_small, read_usable
from centerdet.data.labels import ErrorCollector
from centerdet.data.splits import Item, read_split
from centerdet.preprocessing import to_unit_range

HELD_OUT = 0.2  # fraction of the training images that validate if the data set has no validation split


class Dataset(Sequence[tuple[NDArray, RotatedBox | None]]):
    """The labelled images of one split, each read at access: ``(image (H, W), box or None)``.

    Attributes:
        items: Files and their boxes.
        has_heading: As in ``DataConfig``.
        intensity_range: As in ``DataConfig``. It is not applied: the pixels are those of the files.

    Args:
        items: Files and their boxes.
        config: The data set.
    """

    def __init__(self, items: Sequence[Item], config: DataConfig) -> None:
        self.items, self._config = tuple(items), config
        self.has_heading, self.intensity_range = config.has_heading, config.intensity_range
        self._cache: dict[int, NDArray] = {}
        self._cache_room = 0  # bytes for further images

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> tuple[NDArray, RotatedBox | None]: ...

    @overload
    def __getitem__(self, index: slice) -> Dataset: ...

    def __getitem__(self, index: int | slice) -> tuple[NDArray, RotatedBox | None] | Dataset:
        """Reads image ``index``, padded to at least 64 px a side; a slice gives a smaller data set.

        Raises:
            ValueError: If the file cannot be read, or has pixels that ``preprocessing.to_unit_range`` refuses.
        """
        if isinstance(index, slice):
            return Dataset(self.items[index], self._config)
        path, box = self.items[index]
        if (cached := self._cache.get(index)) is not None:
            return cached, box
        # The pixels are checked again where they are used, but the error there cannot name the file.
        image = read_usable(path, partial(to_unit_range, intensity_range=self.intensity_range))
        image = pad_small(image)
        if image.nbytes <= self._cache_room:
            image.setflags(write=False)  # every later access returns the same array
            self._cache[index], self._cache_room = image, self._cache_room - image.nbytes
        return image, box

    def cached(self, max_bytes: int) -> Dataset:
        """Returns the same data set with a cache: an image is read once, as long as there is room for it.

        Args:
            max_bytes: Room for decoded images.
        """
        cached = Dataset(self.items, self._config)
        cached.intensity_range, cached._cache_room = self.intensity_range, max_bytes
        return cached

    def readable(self, on_error: Callable[[str, Path], None]) -> Iterator[tuple[NDArray, RotatedBox | None]]:
        """Yields the images that can be read, in order.

        Args:
            on_error: Called with a message and the file for each of the others, which are left out.
        """
        for index, item in enumerate(self.items):
            try:
                pair = self[index]
            except (ValueError, MemoryError) as error:
                on_error(str(error), item.path)
                continue
            yield pair

    def without(self, paths: Collection[Path | None]) -> Dataset:
        """Returns the data set without some of its files."""
        rest = Dataset([item for item in self.items if item.path not in paths], self._config)
        rest.intensity_range = self.intensity_range  # which may differ from the config's
        return rest


def load_dataset(
    path: str | Path, split: Literal["train", "validation", "test"], *, unreadable: ErrorCollector | None = None
) -> Dataset:
    """Loads the labelled images of one split.

    Args:
        path: YAML file of the data set.
        split: Name of the split.
        unreadable: Receives a message for each image that cannot be read, and that is left out; ``None``: such an image
            is an error.

    Raises:
        ValueError: If the file or the split is missing, or a label has an error. The message names the first error,
            with file and line, and the number of further ones.
    """
    return _load(read_data_config(path), path, split, unreadable)


def load_training_splits(path: str | Path) -> tuple[Dataset, Dataset, bool]:
    """Loads the splits ``train`` and ``validation``.

    Without a validation split, ``HELD_OUT`` of the training images take its place: always the same ones, by a hash of
    their names.

    Args:
        path: YAML file of the data set.

    Returns:
        Training images, validation images, and whether the latter were taken from the training split.

    Raises:
        ValueError: As ``load_dataset``.
    """
    config = read_data_config(path)
    taken = "validation" not in config.sources() and config.train is not None
    if taken:
        try:
            config = replace(config, held_out=replace(config.held_out, validation=HELD_OUT))
        except ValueError as error:
            raise ValueError(f"{path} has no validation split, and too few images for one: {error}") from None
    return _load(config, path, "train"), _load(config, path, "validation"), taken


def _load(config: DataConfig, path: str | Path, split: str, unreadable: ErrorCollector | None = None) -> Dataset:
    errors = ErrorCollector()
    try:
        items = read_split(config, split, Path(path).parent, errors, unreadable=unreadable)
    except ValueError as error:
        raise error if str(path) in str(error) else ValueError(f"{path}: {error}") from None
    if errors.messages:
        first, *others = errors.messages
        more = f" (and {len(others)} more: centerdet check {path} lists them all)" if others else ""
        raise ValueError(f"{first}{more}")
    return Dataset(items, config)
