"""Headers of image files: the size, and checks that keep decoders from allocating more than the file can fill."""

from __future__ import annotations

import os
import struct
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import IMAGELENGTH, IMAGEWIDTH, ImageFileDirectory_v2

from centerdet.files import open_regular
from centerdet.preprocessing import MIN_SIDE

FORMATS = ("PNG", "JPEG", "TIFF", "BMP")  # by content, not by suffix; other readers of Pillow are not used
MAX_PIXELS = 100_000_000  # a larger size in a header is refused before decoding: a few bytes can decode to gigabytes
MAX_PIXEL_BYTES = 32  # four channels of 8 bytes
MAX_EXTRA_BYTES = 64 * 2**20  # of metadata in a file, such as colour profiles and previews
_ORIENTATION, _QUARTER_TURNS = 0x0112, (5, 6, 7, 8)  # Exif tag, and its values that exchange width and height
_TIFF_HEADERS = {b"II*\0": 8, b"MM\0*": 8, b"II+\0": 16}  # first bytes -> length of the header, bytes
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MAX_PAGES = 1000  # of a TIFF file are counted
_MAX_NPY_HEADER = 10_000  # bytes: numpy's own limit; it would first allocate what the file declares
_SUBFILE_TYPE, _REDUCED = 254, 1  # TIFF tag, and its bit that marks a smaller copy of another page


def image_size(path: Path) -> tuple[int, int]:
    """Returns width and height in px, from the file's header alone.

    Raises:
        ValueError: If the header cannot be read, declares no pixel or more than ``MAX_PIXELS`` (after padding to 64 px
            a side), or does not fit the file's length.
    """
    try:
        with warnings.catch_warnings(), open_regular(path) as file:
            warnings.simplefilter("ignore")  # Pillow warns of large images, which are refused below anyway
            length = os.fstat(file.fileno()).st_size
            if length == 0:
                raise ValueError("it is empty; give another copy")
            width, height = _npy_size(path, file) if path.suffix.lower() == ".npy" else _picture_size(file)
            if length > width * height * MAX_PIXEL_BYTES + MAX_EXTRA_BYTES:
                raise ValueError(f"it has {length:,} bytes, too many for {width} x {height} pixels; save it again")
            return width, height
    except Exception as error:  # damaged files make the readers raise many types
        raise unreadable(path, error) from None


def unreadable(path: Path, reason: object) -> ValueError:
    """Returns the error about a file that cannot be read."""
    text = " ".join(str(reason).split())
    if isinstance(reason, Exception) and (not text or isinstance(reason, LookupError | struct.error | MemoryError)):
        text = "too little memory" if isinstance(reason, MemoryError) else f"it is damaged ({type(reason).__name__})"
    if isinstance(reason, UnidentifiedImageError):
        text = f"it is damaged, or none of {', '.join(FORMATS)}"
    elif isinstance(reason, OSError | SyntaxError):  # of Pillow
        text = f"it is damaged ({text})"
    remedy = "" if ";" in text else "; give another copy, or save it again as PNG"
    return ValueError(f"cannot read {path}: {text}{remedy}")


def _npy_size(path: Path, file: BinaryIO) -> tuple[int, int]:
    start = file.read(12)
    length = int.from_bytes(start[8:10] if start[6:7] == b"\1" else start[8:12], "little")  # of the header
    if start[:6] != np.lib.format.MAGIC_PREFIX or length > _MAX_NPY_HEADER:
        raise ValueError(f"it is no NPY file with a header of at most {_MAX_NPY_HEADER:,} bytes")
    try:
        array = np.lib.format.open_memmap(path, mode="r")  # reads the header, and checks the file's length
    except (OSError, MemoryError):
        raise
    except Exception:  # numpy's messages give advice on unsafe reading, and addresses in memory
        raise ValueError("its header is not that of an array of numbers, or does not fit the file's length") from None
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (1, 3, 4)):
        raise ValueError(f"an image must have 2 dimensions, or 3 with 1, 3 or 4 channels, got shape {array.shape}")
    if array.dtype.kind not in "buif":
        raise ValueError(f"an image must have integer or floating-point pixels, got {str(array.dtype)[:40]}")
    height, width = array.shape[:2]
    check_picture_size(width, height)
    return width, height


def _picture_size(file: BinaryIO) -> tuple[int, int]:
    start = file.read(16)
    file.seek(0)
    if start[:4] in _TIFF_HEADERS:  # Image.open refuses some TIFF types that OpenCV reads
        tags = ImageFileDirectory_v2(start[: _TIFF_HEADERS[start[:4]]])
        size = page_size(file, tags.next)
        _check_pages(sum(1 for _ in islice(tiff_pages(file), _MAX_PAGES)))
        return size
    else:
        if start[:8] == _PNG_SIGNATURE:
            _check_png_chunks(file)
        with Image.open(file, formats=FORMATS) as image:
            width, height = image.size
            check_picture_size(width, height)  # before getexif, which decodes some PNG files
            turn = image.getexif().get(_ORIENTATION, 1)
    return (height, width) if turn in _QUARTER_TURNS else (width, height)


def page_size(file: BinaryIO, offset: int) -> tuple[int, int]:
    """Returns width and height of a page of a TIFF file, px.

    Args:
        file: The file.
        offset: Of the page's directory, bytes.
    """
    file.seek(0)
    start = file.read(16)
    tags = ImageFileDirectory_v2(start[: _TIFF_HEADERS[start[:4]]])
    file.seek(offset)
    tags.load(file)
    width, height = tags.get(IMAGEWIDTH), tags.get(IMAGELENGTH)
    if not (isinstance(width, int) and isinstance(height, int)):
        raise ValueError("it is damaged: its header has no width and height (TIFF tags 256 and 257)")
    check_picture_size(width, height)
    return (height, width) if tags.get(_ORIENTATION, 1) in _QUARTER_TURNS else (width, height)


def check_picture_size(width: int, height: int) -> None:
    """Raises a ``ValueError`` for a picture without pixel, or with more than ``MAX_PIXELS``; sides are in px."""
    if min(width, height) < 1 or max(MIN_SIDE, width) * max(MIN_SIDE, height) > MAX_PIXELS:
        raise ValueError(
            f"its header says {width} x {height} pixels, and 1 to {MAX_PIXELS:,} are allowed (sides below {MIN_SIDE} "
            "count as such); cut it into parts"
        )


def _check_pages(count: int) -> None:
    if count > 1:
        raise ValueError(
            f"it holds {count if count < _MAX_PAGES else f'at least {_MAX_PAGES}'} pages, and one is read; "
            "save each page as a file"
        )


def _check_png_chunks(file: BinaryIO) -> None:
    """Checks that no chunk is longer than the rest of the file, and that there is one picture, not an animation."""
    left = os.fstat(file.fileno()).st_size - len(_PNG_SIGNATURE)
    file.seek(len(_PNG_SIGNATURE))
    while left > 0:
        header = file.read(8)
        length, kind = struct.unpack(">I4s", header) if len(header) == 8 else (0, b"cut off")
        left -= 12 + length  # length, kind, content, checksum
        if left < 0:
            raise ValueError(f"it is cut off or damaged: its chunk {kind!r} ends after the file; take another copy")
        if kind == b"acTL":
            _check_pages(struct.unpack(">I", file.read(4))[0])
            file.seek(-4, os.SEEK_CUR)
        if kind == b"IEND":
            break
        file.seek(length + 4, os.SEEK_CUR)
    file.seek(0)


def tiff_pages(file: BinaryIO, *, strict: bool = False) -> Iterator[int]:
    """Yields the offsets of the pages' directories of a TIFF file, bytes, without smaller copies of other pages.

    Args:
        file: The file. It may be read and moved between two pages.
        strict: Whether a damaged list of pages is an error; else it ends there, as for OpenCV.

    Raises:
        ValueError: If the list is damaged.
    """
    file.seek(0)
    start = file.read(16)
    if start[:4] not in _TIFF_HEADERS:
        return
    order = "<" if start[:2] == b"II" else ">"
    big = 43 in start[2:4]  # BigTIFF has longer offsets
    count_format, entry_size, offset_format = ("Q", 20, "Q") if big else ("H", 12, "I")
    (offset,) = struct.unpack_from(order + offset_format, start, 8 if big else 4)
    seen = set[int]()
    while offset:
        file.seek(offset)
        count_bytes = file.read(struct.calcsize(count_format))
        if len(count_bytes) < struct.calcsize(count_format) or offset in seen:
            if strict:
                raise ValueError("its list of pages is damaged or cut off: pages may be missing; take another copy")
            return
        seen.add(offset)
        entries = file.read(min(struct.unpack(order + count_format, count_bytes)[0], 2**16) * entry_size)
        next_offset = file.read(struct.calcsize(offset_format))
        if not _is_reduced(entries, order, entry_size):
            yield offset
        offset = struct.unpack(order + offset_format, next_offset)[0] if len(next_offset) in (4, 8) else 0


def _is_reduced(entries: bytes, order: str, entry_size: int) -> bool:
    """Whether a TIFF directory describes a smaller copy of another page."""
    for place in range(0, len(entries) - entry_size + 1, entry_size):
        (tag,) = struct.unpack_from(order + "H", entries, place)
        if tag == _SUBFILE_TYPE:
            (value,) = struct.unpack_from(order + "I", entries, place + entry_size - (8 if entry_size == 20 else 4))
            return bool(value & _REDUCED)
    return False
