"""Results of ``centerdet predict`` as labels that Label Studio, CVAT and labelme import, for people to correct."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from centerdet.box import RotatedBox
from centerdet.cli.line_file import open_lines
from centerdet.cli.output_kinds import CVAT_MARK, LABEL_STUDIO_START
from centerdet.data import cvat, label_studio, labelme
from centerdet.data.predict import FileResult
from centerdet.files import make_folder, write_atomically

Write = Callable[[FileResult], None]


@contextmanager
def open_label_studio(path: Path | None, names: Mapping[Path, Path]) -> Iterator[Write]:
    """Gives a function that writes an image's result as a task with a prediction; the tasks are one JSON list.

    Args:
        path: The file to write; ``None``: standard output.
        names: The name of each image, below the root of Label Studio's local storage.
    """
    starts = iter([LABEL_STUDIO_START])
    with open_lines(path) as write_line:

        def write(result: FileResult) -> None:
            score = result.detection.score if result.detection else 0.0
            task = label_studio.format_task(
                names[result.path].as_posix(), _box(result), size=_size(result), score=score
            )
            write_line(next(starts, ",\n") + json.dumps(task))

        try:
            yield write
        finally:
            write_line(next(starts, "") + "\n]\n")


@contextmanager
def open_cvat(path: Path | None, names: Mapping[Path, Path]) -> Iterator[Write]:
    """Gives a function that writes an image's result as an element of one XML file.

    Args:
        path: The file to write; ``None``: standard output.
        names: The name of each image in CVAT.
    """
    numbers = count()
    with open_lines(path) as write_line:

        def write(result: FileResult) -> None:
            name = names[result.path].as_posix()
            write_line(cvat.format_image(next(numbers), name, _box(result), size=_size(result), source="auto"))

        write_line(cvat.HEADER + CVAT_MARK)
        try:
            yield write
        finally:
            write_line(cvat.FOOTER)


def write_labelme(names: Mapping[Path, Path], result: FileResult) -> None:
    """Writes an image's result as a file of labelme; ``names`` has the file of each image."""
    path = names[result.path]
    make_folder(path.parent)
    image = Path(os.path.relpath(result.path, path.parent)).as_posix()
    text = labelme.format_file(_box(result), image=image, size=_size(result))
    write_atomically(path, text.encode(errors="backslashreplace"))


def _box(result: FileResult) -> RotatedBox | None:
    return result.detection.box if result.detection else None


def _size(result: FileResult) -> tuple[int, int]:
    height, width = result.image.shape
    return width, height
