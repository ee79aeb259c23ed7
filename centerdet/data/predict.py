"""Running a detector over image files, of any number: answers come one after the other, in the files' order."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from numpy.typing import NDArray

from centerdet.box import Detection
from centerdet.data.image_io import find_images, pad_small, read_usable
from centerdet.detector.base import BaseDetector

Answer = tuple[Path, NDArray, Detection | None]  # file, image as read, what was found


def expand(patterns: Sequence[str]) -> list[Path]:
    """The image files that names mean: files as they are, all images of a folder, or all that match a glob.

    Raises:
        ValueError: If a name means no file.
    """
    paths: list[Path] = []
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            paths += find_images(path)
        elif path.exists():
            paths.append(path)
        else:
            matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - absolute ones, too
            files = [Path(match) for match in matches if Path(match).is_file()]
            if not files:
                raise ValueError(f"there is no file, folder or match for {pattern!r}")
            paths += files
    return paths


def answer(
    detector: BaseDetector, paths: Iterable[Path], *, failed: Callable[[str], None], batch_size: int = 32
) -> Iterator[Answer]:
    """What a detector finds in each image file, in order; memory does not grow with their number.

    Args:
        detector: A ``Detector`` or an ``OnnxDetector``.
        paths: The files.
        failed: Told of each file that cannot be used, in one line; the file is passed over.
        batch_size: Images looked at together.
    """
    files = iter(paths)
    while chunk := list(islice(files, batch_size)):
        usable: list[tuple[Path, NDArray]] = []
        for path in chunk:
            try:
                usable.append((path, read_usable(path, detector.check)))
            except ValueError as error:
                failed(" ".join(str(error).split()))
        answers = detector.detect_batch([pad_small(image) for _, image in usable])
        for (path, image), predicted in zip(usable, answers, strict=True):
            yield path, image, predicted
