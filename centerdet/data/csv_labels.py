"""CSV labels: one file with the header ``image,x,y,yaw,width,height``, in px and radians, one row per object.

Columns may come in any order; further columns are ignored. A row with blanks means that the image has no object.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from centerdet.box import RotatedBox, box_from_corners
from centerdet.data.labels import ErrorCollector, ImageFolder, Label, read_number
from centerdet.files import read_regular, write_atomically

COLUMNS = ("image", "x", "y", "yaw", "width", "height")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # of cells that spreadsheets execute
MAX_BYTES = 2**28  # of a file: 256 MiB hold three million objects
MAX_YAW = 2 * math.pi + 0.01  # rad: a full turn, and room for rounding; larger yaws are probably degrees


def image_key(name: str) -> str:
    """Returns the name: rows identify images by name and suffix."""
    return name


def read_labels(
    labels: Path, images: ImageFolder, *, has_heading: bool, errors: ErrorCollector
) -> dict[str, list[Label]]:
    """Reads the labels of the images of a split; as ``labels.LabelReader.read_labels``.

    An image without a row is an error.
    """
    row_errors = ErrorCollector()
    rows = read_csv(labels, has_heading=has_heading, errors=row_errors)
    if rows and not images.known_names & set(rows):
        raise ValueError(
            f"{labels} names no image: names must be relative to the folder of a split's images, as "
            f"{min(images.known_names)!r}, got {next(iter(rows))!r}"
        )
    errors.messages += row_errors.messages
    for name in rows:
        if name not in images.known_names:
            errors.add(f"{labels}: there is no image {name} in {images.folder}; remove the row, or add the image")
    for name in images.sizes:
        if name not in rows:
            errors.add(f"{images.folder / name}: it has no row in {labels}; add one, with blanks if it has no object")
    return {name: found for name in images.sizes if (found := rows.get(name)) is not None}


def read_csv(path: Path, *, has_heading: bool, errors: ErrorCollector) -> dict[str, list[Label] | None]:
    """Reads a CSV file.

    Args:
        path: The file.
        has_heading: Whether the yaws tell nose from tail.
        errors: Receives all errors, with file and line.

    Returns:
        The objects of each image by its name; ``None`` if a row of the image has an error.

    Raises:
        ValueError: If the file cannot be read, or has another header.
    """
    try:
        text = read_regular(path, max_bytes=MAX_BYTES).decode("utf-8-sig", "surrogateescape")  # as names of files
        rows = list(csv.reader(io.StringIO(text, newline="")))
    except (ValueError, csv.Error) as error:
        raise ValueError(f"cannot read labels {path}: {error}; give a CSV file") from None
    header = [name.strip() for name in rows[0]] if rows else []
    if any(header.count(name) != 1 for name in COLUMNS):
        raise ValueError(f"{path} must begin with the line {','.join(COLUMNS)}, in any order, got {','.join(header)!r}")
    labels: dict[str, list[Label] | None] = {}
    for number, row in enumerate(rows[1:], start=2):
        if any(cell.strip() for cell in row):
            place = f"{path}, line {number}"
            try:
                _add_row(labels, *_parse_row(header, row), place, has_heading)
            except ValueError as error:
                errors.add(f"{place}: {error}")
                labels[dict(zip(header, row, strict=False)).get("image", "").strip().removeprefix("./")] = None
    labels.pop("", None)
    return labels


def write_csv(path: Path, boxes: Mapping[str, RotatedBox | None]) -> None:
    """Writes a CSV file with one row per image, by its name; blanks for ``None``."""
    lines = [format_row(COLUMNS)]
    for image, box in boxes.items():
        values = [f"{value:.6f}" for value in box.to_array()] if box else [""] * 5
        lines.append(format_row([name_cell(image), *values]))
    write_atomically(path, "".join(lines).encode(errors="surrogateescape"))


def format_row(cells: Sequence[str]) -> str:
    """Returns a row of a CSV file, with its line end."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)  # so that it quotes cells with \r or \n
    return text.getvalue().removesuffix("\r\n") + "\n"


def name_cell(name: str) -> str:
    """Returns a file's name for a cell.

    One that a spreadsheet would execute, or that begins with a space, gets ``./``, which names the same file.
    """
    return f"./{name}" if name.startswith(_FORMULA_STARTS) or name[:1].isspace() else name


def _parse_row(header: list[str], row: list[str]) -> tuple[str, dict[str, float]]:
    """Returns the image's name and the five numbers of a row, none of them for "no object"."""
    if len(row) != len(header):
        raise ValueError(f"wanted {len(header)} columns, got {len(row)}")
    cells = dict(zip(header, (cell.strip() for cell in row), strict=True))
    image, cells = cells["image"].removeprefix("./"), {name: cells[name] for name in COLUMNS[1:]}
    if not image:
        raise ValueError("there is no image name; fill the column 'image'")
    missing = [name for name, cell in cells.items() if not cell]
    if 0 < len(missing) < len(cells):
        raise ValueError(f"{', '.join(missing)} missing; fill all five numbers, or none for 'no object'")
    values = {name: read_number(cell) for name, cell in cells.items() if cell}
    if values and abs(values["yaw"]) > MAX_YAW:
        raise ValueError(
            f"yaw {values['yaw']:g} is more than a full turn; give radians (degrees * pi / 180), or wrap it"
        )
    return image, values


def _add_row(
    labels: dict[str, list[Label] | None], image: str, values: dict[str, float], place: str, has_heading: bool
) -> None:
    """Adds a row to the labels of its image, which stay ``None`` if an earlier row of the image has an error."""
    before = labels.get(image)
    if before is not None and bool(before) != bool(values):
        raise ValueError(f"{image} has another row, and one of the two says that it has no object; remove one")
    found = labels.setdefault(image, [])
    if values and found is not None:
        box = RotatedBox(**values)
        found.append(Label(box if has_heading else box_from_corners(box.corners(), has_heading=False), place))
