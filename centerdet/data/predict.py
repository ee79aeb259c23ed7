"""Detection in any number of image files, with bounded memory."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from numpy.typing import NDArray

from centerdet.box import Detection
from centerdet.data.image_io import find_images, pad_small, read_usable
from centerdet.detector.base import BaseDetector


class FileResult(NamedTuple):
    """The result for one image file.

    Attributes:
        path: The file.
        image: Its pixels ``(H, W)``, as read.
        detection: The object found, or ``None``.
    """

    path: Path
    image: NDArray
    detection: Detection | None


def find_files(patterns: Sequence[str]) -> list[Path]:
    """Expands file names, folders (all images in them) and glob patterns into a list of image files.

    Raises:
        ValueError: If a pattern matches no file.
    """
    paths: list[Path] = []
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            paths += find_images(path)
        elif path.exists():
            paths.append(path)
        else:
            matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
            files = [Path(match) for match in matches if Path(match).is_file()]
            if not files:
                raise ValueError(f"there is no file, folder or match for {pattern!r}")
            paths += files
    return paths


def predict_files(
    detector: BaseDetector, paths: Iterable[Path], *, on_error: Callable[[str], None], batch_size: int = 32
) -> Iterator[FileResult]:
    """Yields the result for each image file, in order. Memory does not grow with the number of files.

    Args:
        detector: A ``Detector`` or an ``OnnxDetector``.
        paths: The files.
        on_error: Called with a one-line message for each file that cannot be used; the file is skipped.
        batch_size: Number of images in a batch.
    """
    files = iter(paths)
    while chunk := list(islice(files, batch_size)):
        usable: list[tuple[Path, NDArray]] = []
        for path in chunk:
            try:
                usable.append((path, read_usable(path, detector.check)))
            except ValueError as error:
                on_error(" ".join(str(error).split()))
        detections = detector.detect_batch([pad_small(image) for _, image in usable])
        for (path, image), detection in zip(usable, detections, strict=True):
            yield FileResult(path, image, detection)
