"""Image files in: PNG, JPEG, TIFF, BMP and NPY, of 8 or 16 bits or floats, colour turned to grey.

Grey is 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601); an alpha channel is passed over. A picture with an orientation tag
is turned as the tag says, as viewers show it. What pixels mean as numbers in [0, 1] is decided in ``images``.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from centerdet.images import MIN_SIDE, to_unit_range

FORMATS = ("PNG", "JPEG", "TIFF", "BMP")  # of pictures, whatever they are called; Pillow's other readers stay unused
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".npy")
MAX_PIXELS = 100_000_000  # larger declared sizes are refused before anything is decoded
_FLAGS = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH
_ORIENTATION, _QUARTER_TURNS = 0x0112, (5, 6, 7, 8)  # Exif: the tag, and its values that exchange the sides
_GREY = np.array([0.299, 0.587, 0.114])


def find_images(folder: Path) -> list[Path]:
    """All image files under a folder, in the order of their names.

    Raises:
        ValueError: If there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise ValueError(f"there is no image in {folder}; looked for {', '.join(SUFFIXES)}")
    return paths


def image_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels, from the file's header alone.

    Raises:
        ValueError: If the header cannot be read, or declares more than 100 megapixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is large is refused here, whatever else the readers find odd
            return _size_of_array(path) if path.suffix.lower() == ".npy" else _size_of_picture(path)
    except Exception as error:  # a damaged file can make the readers fail in any way
        raise ValueError(f"cannot read {path}: {' '.join(str(error).split())}") from None


def _size_of_array(path: Path) -> tuple[int, int]:
    array = np.lib.format.open_memmap(path, mode="r")  # the header is read, and compared with the file's length
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        raise ValueError(f"an image has 2 dimensions, or 3 with 3 or 4 colours, got shape {array.shape}")
    if array.dtype.kind not in "buif":
        raise ValueError(f"an image has integer or floating-point pixels, got {array.dtype}")
    height, width = array.shape[:2]
    _refuse_bombs(width, height)
    return width, height


def _size_of_picture(path: Path) -> tuple[int, int]:
    with Image.open(path, formats=FORMATS) as image:
        width, height = image.size
        _refuse_bombs(width, height)  # before the tags: Pillow decodes some PNG files to look for them
        if image.format != "TIFF" and image.getexif().get(_ORIENTATION, 1) in _QUARTER_TURNS:
            width, height = height, width  # of a TIFF file, Pillow tells the turned size
    return width, height


def _refuse_bombs(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ValueError(f"it declares {width} x {height} pixels, more than {MAX_PIXELS:,}; cut it into parts")


def read_image(path: Path) -> NDArray:
    """Reads one image as ``(H, W)``: uint8, uint16 or float, as the file has it.

    Raises:
        ValueError: If it cannot be read, or declares more than 100 megapixels.
    """
    image_size(path)
    try:
        if path.suffix.lower() == ".npy":
            array = np.load(path, allow_pickle=False)
        else:
            array = cv2.imdecode(np.fromfile(path, np.uint8), _FLAGS)
    except (OSError, ValueError, EOFError, MemoryError, cv2.error) as error:
        raise ValueError(f"cannot read {path}: {' '.join(str(error).split())}") from None
    if array is None:
        raise ValueError(f"cannot read {path}: it is damaged, or of a kind that OpenCV does not know")
    if array.ndim == 3 and array.shape[2] in (3, 4):
        array = (array[..., :3] @ _GREY).astype(array.dtype)
    return array


def pad_small(image: NDArray) -> NDArray:
    """An image ``(H, W)`` with zeros on the right and below, as far as it takes to be 64 px a side."""
    return np.pad(image, [(0, max(0, MIN_SIDE - side)) for side in image.shape])


def show(image: NDArray, intensity: tuple[float, float] | None) -> NDArray[np.float32]:
    """An image of any size ``(H, W)`` as a detector sees it, in [0, 1]; errors as in ``images.to_unit_range``."""
    height, width = image.shape
    return to_unit_range(pad_small(image), intensity)[:height, :width]
