"""Types that the readers of all label formats share: labels, errors, and the interface of a format.

A format is a module with the functions of ``LabelReader``; ``formats.py`` lists the modules.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from centerdet.box import RotatedBox
from centerdet.data.folders import list_files
from centerdet.files import is_folder

MAX_NUMBER = 1e9  # px, or image sides: larger numbers are typing errors, and their squares could overflow
_NO_SUCH_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
_CLASSES = "classes"  # labelling tools write the names of the classes to classes.txt, in the folder of the labels


@dataclass(frozen=True, slots=True)
class Label:
    """One object of a label file.

    Attributes:
        box: The object's box.
        place: File and line, for error messages.
    """

    box: RotatedBox
    place: str


@dataclass(slots=True)
class ErrorCollector:
    """Collects error messages, so that one run reports all of them.

    Attributes:
        messages: One line each.
    """

    messages: list[str] = field(default_factory=list)

    def add(self, message: str) -> None:
        """Adds a message."""
        self.messages.append(message)

    @contextmanager
    def collect(self, place: str = "") -> Iterator[None]:
        """Turns a ``ValueError`` in the ``with`` block into a message, and goes on after the block.

        Args:
            place: File and line, put before the error's own text.
        """
        try:
            yield
        except ValueError as error:
            self.add(f"{place}: {error}" if place else str(error))


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFolder:
    """The images of one split, for which a reader looks up labels.

    Attributes:
        folder: The folder; names of images are relative to it, with slashes: ``sub/a.png``.
        sizes: Width and height of each image by its name, px; ``None`` if the image cannot be read.
        known_names: Names of the images of all splits that share the labels.
    """

    folder: Path
    sizes: Mapping[str, tuple[int, int] | None]
    known_names: set[str]


class LabelReader(Protocol):
    """Interface of a label format."""

    def image_key(self, name: str) -> str:
        """Returns the part of an image's name by which the labels identify it."""
        ...

    def read_labels(
        self, labels: Path, images: ImageFolder, *, has_heading: bool, errors: ErrorCollector
    ) -> dict[str, list[Label]]:
        """Reads the labels of the images of a split.

        Args:
            labels: The file or folder of the labels.
            images: The images.
            has_heading: Whether the labels tell nose from tail. If not, yaws are axes in (-pi/2, pi/2].
            errors: Receives all errors in the labels, and a label without an image.

        Returns:
            The objects of each image by its name. Images whose labels have errors are left out.

        Raises:
            ValueError: If there are no labels at all.
        """
        ...


class LabelFileReader(Protocol):
    """Reader of the label file of a single image. A missing file means "no object"."""

    def __call__(self, path: Path, *, size: tuple[int, int], has_heading: bool, errors: ErrorCollector) -> list[Label]:
        """Returns the objects without errors in a file; ``size`` is the image's (width, height), px."""
        ...


def read_label_folder(
    labels: Path,
    images: ImageFolder,
    read_file: LabelFileReader,
    *,
    suffix: str,
    has_heading: bool,
    errors: ErrorCollector,
) -> dict[str, list[Label]]:
    """Reads a folder with one label file per image; as ``LabelReader.read_labels``.

    A file without an image is an error.

    Args:
        labels: The folder.
        images: The images.
        read_file: Reader of one file.
        suffix: End of the files' names, with the dot.
        has_heading: As in ``LabelReader.read_labels``.
        errors: As in ``LabelReader.read_labels``.
    """
    if not is_folder(labels):
        raise ValueError(f"there is no folder {labels} with the labels of {images.folder}; correct the path")
    found = {}
    for name, size in images.sizes.items():
        if size is None:
            continue
        before = len(errors.messages)
        path = labels / Path(name).with_suffix(suffix)
        objects = read_file(path, size=size, has_heading=has_heading, errors=errors)
        if len(errors.messages) == before:
            found[name] = objects
    expected = {Path(name).with_suffix("") for name in images.known_names} | {Path(_CLASSES)}
    unlisted: list[Path] = []
    for path in list_files(labels, unlisted=unlisted):
        if path.suffix.lower() != suffix:
            continue
        if path.suffix != suffix:
            errors.add(f"{path}: label files end in {suffix}; rename it")
        elif path.relative_to(labels).with_suffix("") not in expected:
            errors.add(f"{path}: there is no such image in {images.folder}; remove the file, or add the image")
    errors.messages += [f"cannot list the folder {path}; make it readable, or remove it" for path in unlisted]
    return found


def is_missing(path: Path) -> bool:
    """Whether there is no file; a link that leads nowhere, or a folder that cannot be entered, is an error instead."""
    try:
        path.lstat()
    except OSError as error:
        return error.errno in _NO_SUCH_FILE
    except ValueError:  # a null byte
        return True
    return False


def name_without_suffix(name: str) -> str:
    """Returns an image's name without its suffix: the ``image_key`` of formats with one file per image."""
    return str(Path(name).with_suffix(""))


def read_number(text: str) -> float:
    """Reads a number of a label.

    Raises:
        ValueError: If the text is no number, or its absolute value is ``MAX_NUMBER`` or more.
    """
    try:
        value = float(text if "_" not in text and text.isascii() else "")  # other programs read no 1_00
    except ValueError:
        raise ValueError(f"{text[:60]!r} is not a number") from None
    if not abs(value) < MAX_NUMBER:
        raise ValueError(f"{text[:60]!r} is not a finite number below {MAX_NUMBER:g}")
    return value
