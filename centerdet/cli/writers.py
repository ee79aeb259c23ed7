"""Writers of the results of ``centerdet predict``: CSV, JSON lines, YOLO-OBB, and images with the box drawn in."""

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

from centerdet.data.csv_labels import COLUMNS
from centerdet.data.image_io import normalise
from centerdet.data.predict import FileResult
from centerdet.data.yolo_obb import format_line
from centerdet.detector.base import BaseDetector
from centerdet.drawing import draw_detection
from centerdet.files import check_folder, write_atomically

OutputFormat = Literal["csv", "jsonl", "yolo"]
Write = Callable[[FileResult], None]

PICTURE_SIDE = 400  # px: images are enlarged by the largest whole factor that keeps their longer side within this


def result_paths(paths: Sequence[Path], suffix: str, folder: Path) -> dict[Path, Path]:
    """Returns the file in a folder for the result of each image: the image's path below the common root, with a suffix.

    Raises:
        ValueError: If two images would have the same file, or a file would overwrite an image.
    """
    places = {path: path.resolve() for path in paths}
    root = os.path.commonpath([place.parent for place in places.values()])
    names: dict[Path, Path] = {}
    for path, place in places.items():
        name = folder / f"{place.relative_to(root).with_suffix('')}{suffix}"
        other = names.setdefault(name, path)
        if places[other] != place:
            raise ValueError(f"the results of {other} and {path} would both be {name}; rename one of the images")
    if taken := {name.resolve() for name in names} & set(places.values()):
        raise ValueError(f"the results would overwrite {sorted(taken)[0]}; name another folder")
    return {path: name for name, path in names.items()}


@contextmanager
def open_writer(path: Path | None, format: OutputFormat, paths: Sequence[Path]) -> Iterator[Write]:
    """Gives a function that writes the result of one image. Each result is flushed: a stopped run leaves whole ones.

    * ``csv``: ``image,x,y,yaw,width,height,score``; blanks if nothing was found.
    * ``jsonl``: one object per line, with ``image``, ``score``, ``box`` and ``has_heading`` (whether yaw tells nose
      from tail); the last three are ``null`` if nothing was found.
    * ``yolo``: one text file per image, named by ``result_paths``; empty if nothing was found.

    Args:
        path: The file to write, for ``yolo`` the folder; ``None``: standard output.
        format: Format of the output.
        paths: The images.

    Raises:
        ValueError: If the path cannot be written, or as ``result_paths``.
    """
    if format == "yolo":
        if path is None:
            raise ValueError("format yolo writes one file per image: name a folder with --out")
        yield partial(_write_text, result_paths(paths, ".txt", path))
    elif path is None:
        yield _line_writer(sys.stdout, format)
    else:
        check_folder(path)
        if path.resolve() in {image.resolve() for image in paths}:
            raise ValueError(f"the results would overwrite the image {path}; name another file")
        with open(path, "w", encoding="utf-8", newline="") as file:
            yield _line_writer(file, format)


def save_picture(path: Path, detector: BaseDetector, result: FileResult) -> None:
    """Saves an image, scaled as the detector does, with its box, as a PNG file."""
    import cv2

    picture = draw_detection(
        normalise(result.image, detector.intensity_range),
        predicted=result.detection,
        scale=max(1, PICTURE_SIDE // max(result.image.shape)),
        caption="" if result.detection else "nothing found",
        has_heading=detector.has_heading,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, cv2.imencode(".png", picture[..., ::-1])[1].tobytes())


def _write_text(names: Mapping[Path, Path], result: FileResult) -> None:
    height, width = result.image.shape
    line = "" if result.detection is None else format_line(result.detection.box, size=(width, height)) + "\n"
    names[result.path].parent.mkdir(parents=True, exist_ok=True)
    write_atomically(names[result.path], line.encode())


def _line_writer(file: IO[str], format: OutputFormat) -> Write:
    rows = csv.writer(file, lineterminator="\n")
    if format == "csv":
        rows.writerow([*COLUMNS, "score"])

    def write(result: FileResult) -> None:
        if format == "csv":
            rows.writerow(_csv_row(result))
        else:
            file.write(_json_line(result))
        file.flush()

    return write


def _csv_row(result: FileResult) -> list[str]:
    detection = result.detection
    values = [] if detection is None else [*detection.box.to_array().tolist(), detection.score]
    return [result.path.as_posix(), *([f"{value:.6g}" for value in values] or [""] * 6)]


def _json_line(result: FileResult) -> str:
    detection = result.detection
    values = {
        "image": result.path.as_posix(),
        "score": detection and detection.score,
        "box": detection and asdict(detection.box),
        "has_heading": detection and detection.has_heading,
    }
    return json.dumps(values) + "\n"
