"""Label files, in and out: CSV, YOLO-OBB and DOTA; ``centerdet.data`` says what is in them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from centerdet.box import RotatedBox
from centerdet.data.corners import box_from_corners
from centerdet.files import write_atomically

LabelFormat = Literal["csv", "yolo", "dota"]
_FAR = 1e9  # larger numbers, in pixels or image sides, are no labels, and their squares could overflow
COLUMNS = ("image", "x", "y", "yaw", "width", "height")


@dataclass(frozen=True, slots=True)
class Label:
    """One object of a label file.

    Attributes:
        box: Where it is.
        place: File and line, for messages.
    """

    box: RotatedBox
    place: str


def read_csv(path: Path, *, has_heading: bool = True) -> tuple[dict[str, list[Label] | None], list[str]]:
    """Reads a CSV file.

    Args:
        path: The file.
        has_heading: Whether the yaws tell nose from tail.

    Returns:
        The objects of each image that is named, by its name, ``None`` where a line of it has a fault; and the faults,
        all of them.

    Raises:
        ValueError: If the file cannot be read or its header is another.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"cannot read labels {path}: {error}") from None
    header = [name.strip() for name in rows[0]] if rows else []
    if any(header.count(name) != 1 for name in COLUMNS):
        raise ValueError(f"{path} must begin with the line {','.join(COLUMNS)}, in any order, got {','.join(header)!r}")
    labels: dict[str, list[Label] | None] = {}
    errors = []
    for number, row in enumerate(rows[1:], start=2):
        place = f"{path}, line {number}"
        if not any(cell.strip() for cell in row):
            continue
        try:
            image, values = _csv_row(header, row)
            before = labels.get(image)  # None, too, if a row of it has a fault: there is no telling then
            if before is not None and bool(before) != bool(values):
                raise ValueError(f"{image} has another row, and one of them says that it has no object; remove one")
            found = labels.setdefault(image, [])
            if values and found is not None:
                box = RotatedBox(**values)
                found.append(Label(box if has_heading else box_from_corners(box.corners(), has_heading=False), place))
        except ValueError as error:
            errors.append(f"{place}: {error}")
            labels[dict(zip(header, row, strict=False)).get("image", "").strip()] = None
    labels.pop("", None)
    return labels, errors


def _csv_row(header: list[str], row: list[str]) -> tuple[str, dict[str, float]]:
    if len(row) != len(header):
        raise ValueError(f"wanted {len(header)} columns, got {len(row)}")
    cells = dict(zip(header, (cell.strip() for cell in row), strict=True))
    image, cells = cells["image"], {name: cells[name] for name in COLUMNS[1:]}
    if not image:
        raise ValueError("there is no image name")
    filled = [name for name, cell in cells.items() if cell]
    if filled and len(filled) < len(cells):
        missing = ", ".join(name for name, cell in cells.items() if not cell)
        raise ValueError(f"{missing} missing; fill all five numbers, or none for 'no object'")
    values = {name: _number(cell) for name, cell in cells.items() if cell}
    if values and abs(values["yaw"]) > 2 * math.pi + 0.01:
        raise ValueError(
            f"yaw {values['yaw']:g} is more than a full turn; give radians (degrees * pi / 180), or wrap it"
        )
    return image, values


def read_text(
    path: Path, *, format: LabelFormat, size: tuple[int, int], has_heading: bool
) -> tuple[list[Label], list[str]]:
    """Reads one image's YOLO-OBB or DOTA file; a missing file means no object.

    Args:
        path: The file.
        format: ``yolo`` or ``dota``.
        size: Width and height of the image in pixels.
        has_heading: Whether the corners' order says where the nose is.

    Returns:
        The objects, and the faults that were found, all of them; the lines with faults are left out.
    """
    if not path.exists():
        return [], []
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        return [], [f"{path}: cannot be read: {error}"]
    labels, errors = [], []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or (format == "dota" and line.lstrip().lower().startswith(("imagesource:", "gsd:"))):
            continue
        place = f"{path}, line {number}"
        try:
            labels.append(Label(box_from_corners(_corners(words, format, size), has_heading=has_heading), place))
        except ValueError as error:
            errors.append(f"{place}: {error}")
    return labels, errors


def _corners(words: list[str], format: LabelFormat, size: tuple[int, int]) -> NDArray[np.float64]:
    counts, first = ((9,), 1) if format == "yolo" else ((9, 10), 0)
    if len(words) not in counts:
        wanted = "class and 8 numbers" if format == "yolo" else "8 numbers, category and perhaps difficulty"
        raise ValueError(f"wanted {wanted}, got {len(words)} words: {' '.join(words)[:60]!r}")
    corners = np.array([_number(word) for word in words[first : first + 8]]).reshape(4, 2)
    return corners * size if format == "yolo" else corners


def _number(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        raise ValueError(f"{word!r} is not a number") from None
    if not abs(value) < _FAR:
        raise ValueError(f"{word!r} is not a finite number, or as large as no place in an image")
    return value


def write_csv(path: Path, boxes: Mapping[str, RotatedBox | None]) -> None:
    """Writes one row for each image, by its name; blanks for ``None``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for image, box in boxes.items():
        writer.writerow([image, *(f"{value:.6f}" for value in box.to_array())] if box else [image, *[""] * 5])
    write_atomically(path, text.getvalue().encode())


def text_line(box: RotatedBox, *, format: LabelFormat, size: tuple[int, int], category: str = "object") -> str:
    """One object as a line of a YOLO-OBB (class 0) or DOTA (difficulty 0) file; size is the image's (width, height)."""
    corners = box.corners()
    if format == "yolo":
        return " ".join(["0", *(f"{value:.8f}" for value in (corners / size).flatten())])
    return " ".join([*(f"{value:.4f}" for value in corners.flatten()), category, "0"])
