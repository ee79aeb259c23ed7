"""Where a detector's answers to image files go: CSV, JSON lines, YOLO-OBB, pictures."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import IO, Literal

from numpy.typing import NDArray

from centerdet.box import Detection
from centerdet.data.image_io import show
from centerdet.data.labels import COLUMNS, text_line
from centerdet.detector.base import BaseDetector
from centerdet.drawing import draw_detection
from centerdet.files import check_folder, write_atomically

OutputFormat = Literal["csv", "jsonl", "yolo"]
Write = Callable[[Path, NDArray, Detection | None], None]  # file, image as read, what was found


def answer_names(paths: Sequence[Path], suffix: str, folder: Path) -> dict[Path, Path]:
    """The file in a folder for the answer to each image: its path below what all have in common, with another suffix.

    Raises:
        ValueError: If two images would be answered in one file, or an answer would overwrite an image.
    """
    places = {path: path.resolve() for path in paths}
    root = os.path.commonpath([place.parent for place in places.values()])
    names: dict[Path, Path] = {}
    for path, place in places.items():
        name = folder / f"{place.relative_to(root).with_suffix('')}{suffix}"
        other = names.setdefault(name, path)
        if places[other] != place:
            raise ValueError(f"{other} and {path} would both be answered in {name}; rename one of them")
    if taken := {name.resolve() for name in names} & set(places.values()):
        raise ValueError(f"the answer would overwrite {sorted(taken)[0]}; name another folder")
    return {path: name for name, path in names.items()}


@contextmanager
def open_writer(path: Path | None, format: OutputFormat, paths: Sequence[Path]) -> Iterator[Write]:
    """A function that writes the answer to one image file; each is on disk at once, so a stopped run leaves whole ones.

    * ``csv``: ``image,x,y,yaw,width,height,score``; blanks where nothing was found.
    * ``jsonl``: one object a line, with ``image``, ``score``, ``box`` and ``has_heading`` (whether yaw tells nose from
      tail), ``null`` where nothing was found.
    * ``yolo``: one text file for each image, as ``answer_names`` names it, empty where nothing was found.

    Args:
        path: The file to write, for ``yolo`` the folder; ``None``: standard output.
        format: One of the above.
        paths: The images.

    Raises:
        ValueError: If the path cannot be written to, or as ``answer_names``.
    """
    if format == "yolo":
        if path is None:
            raise ValueError("format yolo writes one file for each image: name a folder with --out")
        yield partial(_write_text, answer_names(paths, ".txt", path))
    elif path is None:
        yield _line_writer(sys.stdout, format)
    else:
        check_folder(path)
        if path.resolve() in {image.resolve() for image in paths}:
            raise ValueError(f"the answers would overwrite {path}; name another file")
        with open(path, "w", encoding="utf-8", newline="") as file:
            yield _line_writer(file, format)


def _write_text(names: Mapping[Path, Path], path: Path, image: NDArray, predicted: Detection | None) -> None:
    height, width = image.shape
    line = "" if predicted is None else text_line(predicted.box, format="yolo", size=(width, height)) + "\n"
    names[path].parent.mkdir(parents=True, exist_ok=True)
    write_atomically(names[path], line.encode())


def _line_writer(file: IO[str], format: OutputFormat) -> Write:
    rows = csv.writer(file, lineterminator="\n")
    if format == "csv":
        rows.writerow([*COLUMNS, "score"])

    def write(path: Path, image: NDArray, predicted: Detection | None) -> None:
        name = path.as_posix()
        if format == "csv":
            values = [] if predicted is None else [*predicted.box.to_array().tolist(), predicted.score]
            rows.writerow([name, *([f"{value:.6g}" for value in values] or [""] * 6)])
        else:
            box = predicted and asdict(predicted.box)
            facts = {
                "image": name,
                "score": predicted and predicted.score,
                "box": box,
                "heading": predicted and predicted.has_heading,
            }
            file.write(json.dumps(facts) + "\n")
        file.flush()

    return write


def draw_answer(path: Path, detector: BaseDetector, image: NDArray, predicted: Detection | None) -> None:
    """Saves a picture of an image, as the detector sees it, with its box, as a PNG file."""
    import cv2

    picture = draw_detection(
        show(image, detector.intensity_range),
        predicted=predicted,
        scale=max(1, 400 // max(image.shape)),
        caption="" if predicted else "nothing found",
        has_heading=detector.has_heading,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, cv2.imencode(".png", picture[..., ::-1])[1].tobytes())
