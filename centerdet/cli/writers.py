"""Writers of the results of ``centerdet predict``: CSV, JSON lines, YOLO-OBB, and images with the box drawn in.

``prelabels`` has the formats of labelling tools.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

from centerdet.cli.line_file import open_lines
from centerdet.cli.output_kinds import CSV_COLUMNS, write_png
from centerdet.cli.parquet import open_parquet
from centerdet.cli.prelabels import Write, open_cvat, open_label_studio, write_labelme
from centerdet.cli.streams import escape_bytes
from centerdet.data.csv_labels import format_row, name_cell
from centerdet.data.predict import FileResult
from centerdet.data.yolo_obb import format_line
from centerdet.files import make_folder, write_atomically

OutputFormat = Literal["csv", "jsonl", "parquet", "yolo", "label-studio", "cvat", "labelme"]
FOLDER_FORMATS = {"yolo": ".txt", "labelme": ".json"}  # one file per image, with this suffix


def result_paths(paths: Sequence[Path], suffix: str, folder: Path) -> dict[Path, Path]:
    """Returns the file in a folder for the result of each image: the image's path below the common root, with a suffix.

    A link has the result of its own name, not of the file that it leads to. Several spellings of a path have the same
    result.

    Raises:
        ValueError: If two images would have the same file.
    """
    places, root = _places(paths)
    names: dict[Path, Path] = {}
    first: dict[Path, Path] = {}
    for path, place in places.items():
        name = folder / f"{place.relative_to(root).with_suffix('')}{suffix}"
        names[path], other = name, first.setdefault(name, path)
        if places[other] != place:
            raise ValueError(f"the results of {other} and {path} would both be {name}; rename one of the images")
    return names


def relative_names(paths: Sequence[Path]) -> dict[Path, Path]:
    """Returns the path of each image below the common root."""
    places, root = _places(paths)
    return {path: place.relative_to(root) for path, place in places.items()}


def _places(paths: Sequence[Path]) -> tuple[dict[Path, Path], Path]:
    """Returns the real folder of each image with the image's own name, and the folder that all are in."""
    places = {path: Path(os.path.realpath(path.parent)) / path.name for path in paths}
    return places, Path(os.path.commonpath([place.parent for place in places.values()]))


@contextmanager
def open_writer(path: Path | None, format: OutputFormat, names: Mapping[Path, Path]) -> Iterator[Write]:
    r"""Gives a function that writes the result of one image. A stopped run, or a full disk, leaves whole lines.

    * ``csv``: ``image,x,y,yaw,width,height,score,frame``; blanks if nothing was found. ``frame`` is blank unless the
      image is a frame of a stack or video. A name that a spreadsheet would
      execute gets ``./`` before it, which names the same file; bytes that are not UTF-8 become ``\xff``.
    * ``jsonl``: one object per line, with ``image``, ``score``, ``box`` and ``has_heading`` (whether yaw tells nose
      from tail); these three are ``null`` if nothing was found; and ``frame``.
    * ``yolo``: one text file per image or frame; empty if nothing was found.
    * ``parquet``: the columns of ``csv``, and ``has_heading``.
    * ``label-studio``, ``cvat``, ``labelme``: as ``prelabels``.

    Args:
        path: The file to write; ``None``: standard output. Not used for formats with a file per image.
        format: Format of the output.
        names: The file of each image, of ``result_paths``; for ``label-studio`` and ``cvat``, its name, of
            ``relative_names``.

    Raises:
        ValueError: If standard output is closed.
        OSError: If a result cannot be written.
    """
    if format in FOLDER_FORMATS:
        yield partial(_write_text if format == "yolo" else write_labelme, names)
        return
    if format in ("label-studio", "cvat"):
        with (open_cvat if format == "cvat" else open_label_studio)(path, names) as write:
            yield write
        return
    if format == "parquet":
        with open_parquet(path) as write:
            yield write
        return
    with open_lines(path) as write_line:
        if format == "csv":
            write_line(format_row(CSV_COLUMNS))
        yield lambda result: write_line(_csv_row(result) if format == "csv" else _json_line(result))


def save_picture(path: Path, result: FileResult) -> None:
    """Saves an image, scaled as the detector does, with its box, as a PNG file."""
    make_folder(path.parent)
    write_png(path, result.draw())


def frame_folder(path: Path, file: Path) -> Path:
    """Returns the folder for the results of an image's frames, beside the file that would have the image's result.

    No other image has its results there: in the images' folder, the name is that of the stack or video itself.
    """
    return file.parent / path.name


def result_file(names: Mapping[Path, Path], result: FileResult) -> Path:
    """Returns the file for a result; ``names`` has the file of each image."""
    file = names[result.path]
    return file if result.frame is None else frame_folder(result.path, file) / f"{result.frame:06}{file.suffix}"


def _write_text(names: Mapping[Path, Path], result: FileResult) -> None:
    height, width = result.image.shape
    line = "" if result.detection is None else format_line(result.detection.box, size=(width, height)) + "\n"
    file = result_file(names, result)
    make_folder(file.parent)
    write_atomically(file, line.encode())


def _csv_row(result: FileResult) -> str:
    detection = result.detection
    values = [] if detection is None else [*detection.box.to_array().tolist(), detection.score]
    name = name_cell(escape_bytes(result.path.as_posix()))
    frame = "" if result.frame is None else str(result.frame)
    return format_row([name, *([f"{value:.6g}" for value in values] or [""] * 6), frame])


def _json_line(result: FileResult) -> str:
    return json.dumps(result.to_dict()) + "\n"
