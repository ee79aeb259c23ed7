"""Detection in any number of image files, with bounded memory."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from centerdet.box import Detection
from centerdet.data.folders import expand_pattern
from centerdet.data.frames import VIDEO_SUFFIXES, frame_name, prefetch_frames, read_usable_frame
from centerdet.data.image_io import SUFFIXES, find_images, normalise, pad_small
from centerdet.detector.base import BaseDetector
from centerdet.detector.batching import MAX_BATCH_PIXELS
from centerdet.drawing import Picture, draw_detection, picture_scale
from centerdet.files import is_folder


class _Item(NamedTuple):
    """An image of a batch: its file, its frame if it has any, and its pixels ``(H, W)``."""

    path: Path
    frame: int | None
    image: NDArray


class FileResult(NamedTuple):
    """The result for one image file, or one frame of a stack or video.

    Attributes:
        path: The file.
        image: Its pixels ``(H, W)``, as read.
        detection: The object found, or ``None``.
        intensity_range: Pixel values that are 0 and 1 for the detector; ``None``: the full scale of the file's type.
        frame: Number of the frame, from 0, in a stack or video; ``None``: the file is one image.
    """

    path: Path
    image: NDArray
    detection: Detection | None
    intensity_range: tuple[float, float] | None = None
    frame: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns ``image`` (its path), ``score``, ``box``, ``has_heading`` and ``frame``; they may be ``None``."""
        nothing = {"score": None, "box": None, "has_heading": None}
        found = self.detection.to_dict() if self.detection else nothing
        return {"image": self.path.as_posix(), **found, "frame": self.frame}

    def draw(self) -> Picture:
        """Draws the image, scaled as the detector does, with the box."""
        return draw_detection(
            normalise(self.image, self.intensity_range),
            predicted=self.detection,
            scale=picture_scale(self.image.shape),
            caption="" if self.detection else "nothing found",
            has_heading=self.detection is None or self.detection.has_heading,
        ).view(Picture)

    def _repr_html_(self) -> str:
        """Shows the picture in notebooks, with the name of the file or frame below it."""
        picture = b64encode(self.draw()._repr_png_() or b"").decode()
        name = escape(frame_name(self.path, self.frame))
        return (
            f'<figure><img alt="{name}" src="data:image/png;base64,{picture}"><figcaption>{name}</figcaption></figure>'
        )


class FileError(NamedTuple):
    """Why there is no result for an image file, or for one frame of a stack or video.

    Attributes:
        path: The file.
        frame: Number of the frame, from 0; ``None``: the file is one image, or the frame's number is not known.
        message: One line that names the file and the frame.
    """

    path: Path
    frame: int | None
    message: str


def find_files(patterns: Sequence[str]) -> list[Path]:
    """Expands file names, folders (all images in them) and glob patterns into a list of image files.

    A folder that cannot be listed is part of the list, so that it is reported as a file that cannot be read.

    Raises:
        ValueError: If a pattern is empty or matches no file, or a folder holds no image.
    """
    paths: list[Path] = []
    for pattern in patterns:
        if not pattern:  # an unset variable of a shell script; to Path, it is the current folder
            raise ValueError("the name of a file or folder is empty; for the current folder, give a dot")
        path, unlisted = Path(pattern), list[Path]()
        if is_folder(path):
            paths += find_images(path, unlisted=unlisted, suffixes=(*SUFFIXES, *VIDEO_SUFFIXES)) + unlisted
        elif os.path.lexists(path):
            paths.append(path)
        else:
            files = expand_pattern(pattern, unlisted=unlisted) + unlisted
            if not files:
                raise ValueError(f"there is no file, folder or match for {pattern!r}")
            paths += files
    return paths


def select_shard(paths: list[Path], shard: tuple[int, int]) -> list[Path]:
    """Returns one of several parts of a list of files: blocks in the list's order, whose lengths differ by 1 at most.

    Args:
        paths: The files. All parts together, in order, are the list.
        shard: Number of the part, from 1, and number of parts.
    """
    number, count = shard
    return paths[len(paths) * (number - 1) // count : len(paths) * number // count]


def predict_files(
    detector: BaseDetector, paths: Iterable[Path], *, on_error: Callable[[str], None], batch_size: int = 32
) -> Iterator[FileResult]:
    """Yields the results of ``predict_each``, and reports the errors.

    Args:
        detector: A ``Detector`` or an ``OnnxDetector``.
        paths: The files.
        on_error: Called with a one-line message for each image or frame that cannot be used; it is skipped.
        batch_size: As for ``predict_each``.
    """
    for outcome in predict_each(detector, paths, batch_size=batch_size):
        if isinstance(outcome, FileError):
            on_error(outcome.message)
        else:
            yield outcome


def predict_each(
    detector: BaseDetector, paths: Iterable[Path], *, batch_size: int = 32
) -> Iterator[FileResult | FileError]:
    """Yields the result for each image, and each frame of a stack or video, in order; an error as soon as it occurs.

    Memory grows neither with the number of files nor with that of frames. Frames are read ahead.

    Args:
        detector: A ``Detector`` or an ``OnnxDetector``.
        paths: The files.
        batch_size: Number of images in a batch; it has fewer if they have more than ``MAX_BATCH_PIXELS`` together.
    """
    batch: list[_Item] = []
    pixels = 0
    for path in paths:
        if is_folder(path) and not os.access(path, os.R_OK | os.X_OK):
            yield FileError(path, None, f"cannot list the folder {path}; make it readable, or leave it out")
            continue
        for frame in prefetch_frames(path):
            try:
                if isinstance(frame, ValueError):
                    raise frame
                width, height = frame.size
                if batch and (len(batch) >= batch_size or pixels + width * height > MAX_BATCH_PIXELS):
                    yield from _detect(detector, batch, batch_size)  # before the next image takes memory
                    batch, pixels = [], 0
                batch.append(_Item(path, frame.number, read_usable_frame(frame, detector.check)))
                pixels += width * height
            except (ValueError, MemoryError) as error:
                yield _file_error(path, None if isinstance(frame, ValueError) else frame.number, error)
    yield from _detect(detector, batch, batch_size)


def _detect(detector: BaseDetector, batch: list[_Item], batch_size: int) -> Iterator[FileResult | FileError]:
    """Yields the results of a batch. If it fails, each image is tried alone, so that it costs no other a result."""
    failures = (ValueError, MemoryError, RuntimeError)  # torch and onnxruntime raise RuntimeError when memory ends
    try:
        detections = detector.detect_batch([pad_small(item.image) for item in batch], batch_size=batch_size)
    except failures as error:
        if len(batch) > 1:
            for one in batch:
                yield from _detect(detector, [one], 1)
        else:
            yield _file_error(batch[0].path, batch[0].frame, error)
        return
    for item, detection in zip(batch, detections, strict=True):
        yield FileResult(item.path, item.image, detection, detector.intensity_range, item.frame)


def _file_error(path: Path, frame: int | None, error: Exception) -> FileError:
    """Returns an error whose message names the file, its frame, and the reason."""
    name = frame_name(path, frame)
    reason = " ".join(str(error).split()).removeprefix("image 0: ")
    if isinstance(error, MemoryError | RuntimeError):
        reason = (
            f"too little memory, or the network failed ({reason[:100] or type(error).__name__}); use a smaller image"
        )
    return FileError(path, frame, reason if name in reason else f"{name}: {reason}")
