"""Image files in: PNG, JPEG, TIFF, BMP and NPY, of 8 or 16 bits or floats, colour turned to grey.

Grey is 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601); an alpha channel is passed over. A picture with an orientation tag
is turned as the tag says, as viewers show it. What pixels mean as numbers in [0, 1] is decided in ``images``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import IMAGELENGTH, IMAGEWIDTH, ImageFileDirectory_v2

from centerdet.preprocessing import MIN_SIDE, to_unit_range

FORMATS = ("PNG", "JPEG", "TIFF", "BMP")  # of pictures, whatever they are called; Pillow's other readers stay unused
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".npy")
MAX_PIXELS = 100_000_000  # larger declared sizes are refused before anything is decoded
_FLAGS = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH  # not IMREAD_GRAYSCALE, which has other rules for some files
_ORIENTATION, _QUARTER_TURNS = 0x0112, (5, 6, 7, 8)  # Exif: the tag, and its values that exchange the sides
_TIFF = {b"II*\0": 8, b"MM\0*": 8, b"II+\0": 16}  # how TIFF files begin, and the length of their headers
_DARK = 0.2  # of the full scale
_GREY = np.array([0.299, 0.587, 0.114], np.float32)


def find_images(folder: Path) -> list[Path]:
    """All image files under a folder, in the order of their names.

    Raises:
        ValueError: If there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and not path.is_dir())
    if not paths:
        raise ValueError(f"there is no image in {folder}; looked for {', '.join(SUFFIXES)}")
    return paths


def image_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels, from the file's header alone.

    Raises:
        ValueError: If the header cannot be read, or declares no pixel or more than 100 megapixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is large is refused here, whatever else the readers find odd
            return _size_of_array(path) if path.suffix.lower() == ".npy" else _size_of_picture(path)
    except Exception as error:  # a damaged file can make the readers fail in any way
        raise _unreadable(path, error) from None


def _size_of_array(path: Path) -> tuple[int, int]:
    array = np.lib.format.open_memmap(path, mode="r")  # the header is read, and compared with the file's length
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (1, 3, 4)):
        raise ValueError(f"an image has 2 dimensions, or 3 with 1, 3 or 4 colours, got shape {array.shape}")
    if array.dtype.kind not in "buif":
        raise ValueError(f"an image has integer or floating-point pixels, got {array.dtype}")
    height, width = array.shape[:2]
    _check_size(width, height)
    return width, height


def _size_of_picture(path: Path) -> tuple[int, int]:
    with open(path, "rb") as file:
        start = file.read(16)
        if start[:4] in _TIFF:  # Pillow itself opens some kinds only
            tags = ImageFileDirectory_v2(start[: _TIFF[start[:4]]])
            file.seek(tags.next)
            tags.load(file)
            (width, height), turn = (tags[IMAGEWIDTH], tags[IMAGELENGTH]), tags.get(_ORIENTATION, 1)
            _check_size(width, height)
        else:
            with Image.open(file, formats=FORMATS) as image:
                width, height = image.size
                _check_size(width, height)  # before the tags: Pillow decodes some PNG files to look for them
                turn = image.getexif().get(_ORIENTATION, 1)
    return (height, width) if turn in _QUARTER_TURNS else (width, height)


def _check_size(width: int, height: int) -> None:
    if not 0 < width * height <= MAX_PIXELS:
        raise ValueError(f"it declares {width} x {height} pixels, and may have 1 to {MAX_PIXELS:,}; cut it into parts")


def read_image(path: Path) -> NDArray:
    """Reads one image as ``(H, W)``: uint8, uint16 or float, as the file has it.

    Raises:
        ValueError: If it cannot be read, or declares no pixel or more than 100 megapixels.
    """
    image_size(path)
    try:
        if path.suffix.lower() == ".npy":
            with open(path, "rb") as file:
                return _to_grey(np.lib.format.read_array(file, allow_pickle=False))
        with _opencv_silent():
            array = cv2.imdecode(np.fromfile(path, np.uint8), _FLAGS)
        if array is None:
            raise ValueError("it is damaged, or of a kind that OpenCV does not know")
        return _to_grey(array[..., ::-1] if array.ndim == 3 else array)  # OpenCV's order is blue, green, red
    except Exception as error:  # of a damaged file, decoders raise anything
        raise _unreadable(path, error) from None


def read_usable(path: Path, check: Callable[[NDArray], object]) -> NDArray:
    """Reads one image ``(H, W)`` and has it checked, padded if it is small; as ``read_image`` otherwise.

    Args:
        path: The file.
        check: Raises a ``ValueError`` if the pixels cannot be used, as a detector's ``check`` does.

    Raises:
        ValueError: As ``read_image``, or what ``check`` says of it; the file is named.
    """
    image = read_image(path)
    try:
        check(pad_small(image))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return image


def _to_grey(array: NDArray) -> NDArray:
    """``(H, W)``, ``(H, W, 1)``, or ``(H, W, 3)`` and ``(H, W, 4)``, red first, to ``(H, W)`` of the same type."""
    if array.ndim == 2:
        return array
    if array.dtype.kind not in "uif" or array.shape[2] not in (1, 3, 4):
        raise ValueError(f"an image has 1, 3 or 4 channels of numbers, got {array.dtype} {array.shape}")
    grey = array[..., 0] if array.shape[2] == 1 else array[..., :3] @ _GREY
    return (grey if array.dtype.kind == "f" else np.rint(grey)).astype(array.dtype)


@contextmanager
def _opencv_silent() -> Iterator[None]:
    """What is wrong with a file is told in one line; OpenCV would print more on its own."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def _unreadable(path: Path, reason: object) -> ValueError:
    return ValueError(f"cannot read {path}: {' '.join(str(reason).split())}")


def check_brightness(brightest: float) -> None:
    """Raises a ``ValueError`` if not even the brightest pixels of many images come near 1: that is hardly meant."""
    if brightest < _DARK:
        raise ValueError(
            f"the images' pixels reach only {brightest:.3f} of the full scale; say which values are 0 and 1 "
            "('intensity' in the data set's file)"
        )


def pad_small(image: NDArray) -> NDArray:
    """An image ``(H, W)`` with zeros on the right and below, as far as it takes to be 64 px a side."""
    return np.pad(image, [(0, max(0, MIN_SIDE - side)) for side in image.shape])


def show(image: NDArray, intensity_range: tuple[float, float] | None) -> NDArray[np.float32]:
    """An image of any size ``(H, W)`` as a detector sees it, in [0, 1]; errors as in ``images.to_unit_range``."""
    height, width = image.shape
    return to_unit_range(pad_small(image), intensity_range)[:height, :width]
