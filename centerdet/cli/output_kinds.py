"""Kinds of output files: how each is written, and how an earlier one is recognised by its content."""

from __future__ import annotations

import csv
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from centerdet.data.csv_labels import COLUMNS
from centerdet.files import open_regular, write_atomically

CSV_COLUMNS = [*COLUMNS, "score", "frame"]
JSON_LINE_KEYS = {"image", "score", "box", "has_heading", "frame"}
PARQUET_MARK = b"predicted by centerdet"  # in the metadata at the end of the file
LABEL_STUDIO_START = "[\n"  # of a list of tasks; ``label_studio.format_task`` begins them with their data
CVAT_MARK = "  <!-- predicted by centerdet -->\n"  # after the header of an XML file
MAX_READ = 2**28  # bytes: larger files are not ours
_REPORT_KEYS = ({"samples", "ap"}, {"rounds", "rows"}, {"views", "fraction"})  # one set is in each JSON report
_HTML_START = b'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>centerdet'
_PNG_HEADER = 33  # bytes: signature and first chunk
_PNG_MARK = b"tEXtSoftware\0centerdet"  # type and content of the chunk that marks our pictures


def write_json(path: Path, metadata: Any) -> None:
    """Writes a JSON file, indented."""
    write_atomically(path, (json.dumps(metadata, indent=2) + "\n").encode())


def write_html(path: Path, page: str) -> None:
    """Writes an HTML page; bytes of names that are not UTF-8 are written as escapes."""
    write_atomically(path, page.encode(errors="backslashreplace"))


def write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    """Writes an RGB picture ``(H, W, 3)`` as PNG."""
    write_atomically(path, encode_png(picture))


def encode_png(picture: NDArray[np.uint8], *options: int) -> bytes:
    """Returns an RGB picture ``(H, W, 3)`` as PNG, marked as a picture of this library.

    Args:
        picture: The picture.
        options: Of ``cv2.imencode``.

    Raises:
        ValueError: If OpenCV cannot encode it.
    """
    import cv2  # here, since only pictures need it

    try:
        return mark_png(cv2.imencode(".png", picture[..., ::-1], options)[1].tobytes())
    except cv2.error as error:
        raise ValueError(f"cannot encode a picture of shape {picture.shape}: {' '.join(str(error).split())}") from None


def mark_png(content: bytes) -> bytes:
    """Adds the chunk that marks a PNG file as ours, after its first chunk."""
    chunk = struct.pack(">I", len(_PNG_MARK) - 4) + _PNG_MARK + struct.pack(">I", zlib.crc32(_PNG_MARK))
    return content[:_PNG_HEADER] + chunk + content[_PNG_HEADER:]


def _recognise(test: Callable[[bytes], bool], max_bytes: int) -> Callable[[Path], bool]:
    """Makes a function that applies a test to the first bytes of a file; unreadable files are not ours."""

    def is_ours(path: Path) -> bool:
        try:
            with open_regular(path) as file:
                return test(file.read(max_bytes))
        except (ValueError, OSError, RecursionError):
            return False

    return is_ours


def _is_report(content: bytes) -> bool:
    values = json.loads(content)
    first = values[0] if isinstance(values, list) and values else values
    return isinstance(first, dict) and any(keys <= set(first) for keys in _REPORT_KEYS)


def _is_json_line(content: bytes) -> bool:
    values = json.loads(content.partition(b"\n")[0])
    return isinstance(values, dict) and set(values) == JSON_LINE_KEYS


def _is_csv(content: bytes) -> bool:
    return next(csv.reader([content.partition(b"\n")[0].decode()]), []) == CSV_COLUMNS


def _is_parquet(content: bytes) -> bool:
    return content.startswith(b"PAR1") and content.endswith(b"PAR1") and PARQUET_MARK in content[-(2**16) :]


def _is_label_studio(text: str) -> bool:
    return text.startswith(f'{LABEL_STUDIO_START}{{"data": ') and '"model_version": "centerdet"' in text


is_json_report = _recognise(_is_report, MAX_READ)
is_html_report = _recognise(lambda content: content == _HTML_START, len(_HTML_START))
is_png = _recognise(lambda content: content[_PNG_HEADER + 4 :] == _PNG_MARK, _PNG_HEADER + 4 + len(_PNG_MARK))
is_csv = _recognise(_is_csv, 2**12)
is_json_lines = _recognise(_is_json_line, 2**16)
is_parquet = _recognise(_is_parquet, MAX_READ)
is_label_studio = _recognise(lambda content: _is_label_studio(content.decode(errors="replace")), 2**12)
is_cvat = _recognise(lambda content: CVAT_MARK in content.decode(errors="replace"), 2**12)
is_onnx = _recognise(lambda content: b"centerdet onnx" in content, MAX_READ)
is_architecture = _recognise(lambda content: content.startswith(b"CenterNet, one "), 2**6)
