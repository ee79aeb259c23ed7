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
        if path.suffix.lower() == ".npy":
            shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
            if len(shape) not in (2, 3):
                raise ValueError(f"an image has 2 dimensions, or 3 with colour, got shape {shape}")
            height, width = shape[:2]
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what is large is refused below
                with Image.open(path) as image:
                    width, height = image.size
                    if image.format != "TIFF" and image.getexif().get(_ORIENTATION, 1) in _QUARTER_TURNS:
                        width, height = height, width  # of a TIFF file, Pillow tells the turned size
    except (OSError, ValueError, EOFError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"cannot read {path}: {error}") from None
    if width * height > MAX_PIXELS:
        raise ValueError(
            f"cannot read {path}: it declares {width} x {height} pixels, more than {MAX_PIXELS:,}; cut it into parts"
        )
    return width, height


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
    except (OSError, ValueError, EOFError, cv2.error) as error:
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
