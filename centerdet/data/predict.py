"""Running a detector over image files, of any number: answers are written as they come, in the files' order."""

from __future__ import annotations

import csv
import glob
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import IO, Literal, Protocol

from numpy.typing import NDArray

from centerdet.box import Detection
from centerdet.data.image_files import find_images, read_image
from centerdet.data.labels import COLUMNS, text_line
from centerdet.files import check_folder, write_atomically
from centerdet.finder import Finder
from centerdet.viz import draw_detection

OutputFormat = Literal["csv", "jsonl", "yolo"]
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
        elif matches := sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 - absolute ones, too
            paths += [Path(match) for match in matches if Path(match).is_file()]
        else:
            raise ValueError(f"there is no file, folder or match for {pattern!r}")
    return paths


def answer(
    detector: Finder, paths: Iterable[Path], *, failed: Callable[[str], None], batch_size: int = 32
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
                image = read_image(path)
                detector.check(image)
                usable.append((path, image))
            except ValueError as error:
                text = " ".join(str(error).split())
                failed(text if str(path) in text else f"{path}: {text}")
        for (path, image), found in zip(usable, detector.detect_batch([image for _, image in usable]), strict=True):
            yield path, image, found


def open_writer(path: Path | None, format: OutputFormat) -> Writer:
    """A writer of answers.

    * ``csv``: ``image,x,y,yaw,width,height,score``; blanks where nothing was found.
    * ``jsonl``: one object a line, with ``image``, ``score`` and ``box``, ``null`` where nothing was found.
    * ``yolo``: one text file for each image, empty where nothing was found.

    Args:
        path: The file to write, for ``yolo`` the folder; ``None``: standard output.
        format: One of the above.

    Raises:
        ValueError: If the path cannot be written to.
    """
    if format == "yolo":
        if path is None:
            raise ValueError("format yolo writes one file for each image: name a folder with --out")
        path.mkdir(parents=True, exist_ok=True)
        return _YoloWriter(path)
    if path is None:
        return _LineWriter(sys.stdout, format)
    check_folder(path)
    return _LineWriter(open(path, "w", encoding="utf-8", newline=""), format)


class Writer(Protocol):
    """Writes answers as they come; use it as a context manager."""

    def __enter__(self) -> Writer:
        """Returns itself."""
        ...

    def __exit__(self, *_: object) -> None:
        """Closes what was opened."""
        ...

    def write(self, path: Path, image: NDArray, found: Detection | None) -> None:
        """Writes the answer to one image file."""
        ...


class _LineWriter:
    """CSV or JSON lines; every line is flushed, so that a stopped run leaves whole answers."""

    def __init__(self, file: IO[str], format: OutputFormat) -> None:
        self._file, self._format = file, format
        self._csv = csv.writer(file, lineterminator="\n")
        if format == "csv":
            self._csv.writerow([*COLUMNS, "score"])

    def __enter__(self) -> _LineWriter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not sys.stdout:
            self._file.close()

    def write(self, path: Path, image: NDArray, found: Detection | None) -> None:
        values = [] if found is None else [*found.box.to_array().tolist(), found.score]
        if self._format == "csv":
            self._csv.writerow([path.as_posix(), *([f"{value:.6g}" for value in values] or [""] * 6)])
        else:
            box = None if found is None else asdict(found.box)
            line = {"image": path.as_posix(), "score": None if found is None else found.score, "box": box}
            self._file.write(json.dumps(line) + "\n")
        self._file.flush()


class _YoloWriter:
    """One text file for each image."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> _YoloWriter:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def write(self, path: Path, image: NDArray, found: Detection | None) -> None:
        height, width = image.shape
        line = "" if found is None else text_line(found.box, format="yolo", size=(width, height)) + "\n"
        write_atomically(self._folder / f"{path.stem}.txt", line.encode())


def draw_answer(folder: Path, path: Path, image: NDArray, found: Detection | None) -> None:
    """Saves a picture of an image with its box, as ``NAME.png`` in a folder."""
    import cv2

    scale = max(1, 400 // max(image.shape))
    picture = draw_detection(image, found=found, scale=scale, caption="" if found else "nothing found")
    write_atomically(folder / f"{path.stem}.png", cv2.imencode(".png", picture[..., ::-1])[1].tobytes())
