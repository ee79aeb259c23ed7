"""Text files with one object per line, given by its corners: the common part of YOLO-OBB and DOTA."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from centerdet.data.drawn_box import box_from_drawn_corners
from centerdet.data.labels import ErrorCollector, Label, is_missing, read_number
from centerdet.files import read_regular

MAX_BYTES = 2**24  # of a label file: 16 MiB hold 100,000 objects


def read_text_labels(
    path: Path,
    parse_line: Callable[[str], NDArray[np.float64] | None],
    *,
    has_heading: bool,
    errors: ErrorCollector,
) -> list[Label]:
    """Reads a text file; a missing file means "no object", and empty lines are ignored.

    Args:
        path: The file.
        parse_line: Turns a line into the corners of an object, ``(4, 2)`` in px, or ``None`` if it holds no object.
        has_heading: Whether the order of the corners tells nose from tail.
        errors: Receives all errors, with file and line.

    Returns:
        The objects; lines with errors are left out.
    """
    if is_missing(path):
        return []
    try:
        lines = read_regular(path, max_bytes=MAX_BYTES).decode("utf-8-sig").splitlines()
    except ValueError as error:
        errors.add(f"{path}: cannot be read: {error}; give a text file, or remove it")
        return []
    labels = []
    for number, line in enumerate(lines, start=1):
        place = f"{path}, line {number}"
        with errors.collect(place):
            corners = parse_line(line) if line.strip() else None
            if corners is not None:
                labels.append(Label(box_from_drawn_corners(corners, has_heading=has_heading), place))
    return labels


def read_corners(words: Sequence[str]) -> NDArray[np.float64]:
    """Reads eight numbers as four corners ``(4, 2)``: x1 y1 x2 y2 x3 y3 x4 y4."""
    return np.array([read_number(word) for word in words]).reshape(4, 2)
