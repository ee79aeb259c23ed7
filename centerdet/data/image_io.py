"""Reader of image files: PNG, JPEG, TIFF, BMP and NPY, with 8 or 16 bits or floats; colour becomes grey.

Grey is 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601); an alpha channel is ignored. Images with an orientation tag are
rotated accordingly, as viewers show them. ``preprocessing`` scales pixels to [0, 1].
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

FORMATS = ("PNG", "JPEG", "TIFF", "BMP")  # by content, not by suffix; other readers of Pillow are not used
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".npy")
MAX_PIXELS = 100_000_000  # a larger size in a header is refused before decoding: a few bytes can decode to gigabytes
MIN_BRIGHTNESS = 0.2  # of the full scale: 12 bits in 16 reach 0.06, so a wrong intensity_range is found
GREY_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)  # R, G, B: ITU-R BT.601
_FLAGS = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH  # not IMREAD_GRAYSCALE, whose weights depend on the file type
_ORIENTATION, _QUARTER_TURNS = 0x0112, (5, 6, 7, 8)  # Exif tag, and its values that exchange width and height
_TIFF_HEADERS = {b"II*\0": 8, b"MM\0*": 8, b"II+\0": 16}  # first bytes -> length of the header, bytes


def find_images(folder: Path) -> list[Path]:
    """Returns all image files in a folder and its subfolders, sorted by name.

    Raises:
        ValueError: If the folder does not exist, or holds no image.
    """
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}; correct the path")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and not path.is_dir())
    if not paths:
        raise ValueError(f"there is no image in {folder}; suffixes of images are {', '.join(SUFFIXES)}")
    return paths


def image_size(path: Path) -> tuple[int, int]:
    """Returns width and height in px, from the file's header alone.

    Raises:
        ValueError: If the header cannot be read, or declares no pixel or more than ``MAX_PIXELS``.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large images, which are refused below anyway
            return _npy_size(path) if path.suffix.lower() == ".npy" else _picture_size(path)
    except Exception as error:  # damaged files make the readers raise many types
        raise _unreadable(path, error) from None


def _npy_size(path: Path) -> tuple[int, int]:
    array = np.lib.format.open_memmap(path, mode="r")  # reads the header, and checks the file's length
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (1, 3, 4)):
        raise ValueError(f"an image must have 2 dimensions, or 3 with 1, 3 or 4 channels, got shape {array.shape}")
    if array.dtype.kind not in "buif":
        raise ValueError(f"an image must have integer or floating-point pixels, got {array.dtype}")
    height, width = array.shape[:2]
    _check_size(width, height)
    return width, height


def _picture_size(path: Path) -> tuple[int, int]:
    with open(path, "rb") as file:
        start = file.read(16)
        if start[:4] in _TIFF_HEADERS:  # Image.open refuses some TIFF types that OpenCV reads
            tags = ImageFileDirectory_v2(start[: _TIFF_HEADERS[start[:4]]])
            file.seek(tags.next)
            tags.load(file)
            (width, height), turn = (tags[IMAGEWIDTH], tags[IMAGELENGTH]), tags.get(_ORIENTATION, 1)
            _check_size(width, height)
        else:
            with Image.open(file, formats=FORMATS) as image:
                width, height = image.size
                _check_size(width, height)  # before getexif, which decodes some PNG files
                turn = image.getexif().get(_ORIENTATION, 1)
    return (height, width) if turn in _QUARTER_TURNS else (width, height)


def _check_size(width: int, height: int) -> None:
    if not 0 < width * height <= MAX_PIXELS:
        raise ValueError(
            f"its header says {width} x {height} pixels, and 1 to {MAX_PIXELS:,} are allowed; cut it into parts"
        )


def read_image(path: Path) -> NDArray:
    """Reads one image ``(H, W)`` with the file's type: uint8, uint16 or float.

    Raises:
        ValueError: If the file cannot be read, or has no pixel or more than ``MAX_PIXELS``.
    """
    image_size(path)
    try:
        if path.suffix.lower() == ".npy":
            with open(path, "rb") as file:
                return _to_grey(np.lib.format.read_array(file, allow_pickle=False))
        with _opencv_silent():
            array = cv2.imdecode(np.fromfile(path, np.uint8), _FLAGS)
        if array is None:
            raise ValueError("it is damaged, or of a type that OpenCV cannot read")
        return _to_grey(array[..., ::-1] if array.ndim == 3 else array)  # OpenCV's order is blue, green, red
    except Exception as error:  # damaged files make the decoders raise many types
        raise _unreadable(path, error) from None


def read_usable(path: Path, check: Callable[[NDArray], object]) -> NDArray:
    """Reads one image as ``read_image`` does, and checks its pixels.

    Args:
        path: The file.
        check: Raises a ``ValueError`` if the pixels cannot be used, as ``BaseDetector.check`` does. It receives the
            image padded as by ``pad_small``.

    Raises:
        ValueError: As ``read_image`` and ``check``; the message names the file.
    """
    image = read_image(path)
    try:
        check(pad_small(image))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return image


def _to_grey(array: NDArray) -> NDArray:
    """Converts ``(H, W)``, ``(H, W, 1)``, or RGB(A) ``(H, W, 3)`` and ``(H, W, 4)`` to ``(H, W)`` of the same type."""
    if array.ndim == 2:
        return array
    if array.dtype.kind not in "uif" or array.shape[2] not in (1, 3, 4):
        raise ValueError(f"an image must have 1, 3 or 4 channels of numbers, got {array.dtype} {array.shape}")
    grey = array[..., 0] if array.shape[2] == 1 else array[..., :3] @ GREY_WEIGHTS
    return (grey if array.dtype.kind == "f" else np.rint(grey)).astype(array.dtype)


@contextmanager
def _opencv_silent() -> Iterator[None]:
    """Keeps OpenCV from printing to stderr: the error is reported by an exception."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def _unreadable(path: Path, reason: object) -> ValueError:
    return ValueError(f"cannot read {path}: {' '.join(str(reason).split())}")


def check_brightness(brightest: float) -> None:
    """Checks that a set of images uses the range [0, 1].

    Args:
        brightest: Largest pixel of all images, in [0, 1].

    Raises:
        ValueError: If it is below ``MIN_BRIGHTNESS``, probably since the intensity range is wrong.
    """
    if brightest < MIN_BRIGHTNESS:
        raise ValueError(
            f"the images' pixels reach only {brightest:.3f} of the full scale, and should reach {MIN_BRIGHTNESS}; "
            "give the values that become 0 and 1 ('intensity_range' in the data set's file)"
        )


def pad_small(image: NDArray) -> NDArray:
    """Pads an image ``(H, W)`` with zeros on the right and below to at least 64 px a side."""
    return np.pad(image, [(0, max(0, MIN_SIDE - side)) for side in image.shape])


def normalise(image: NDArray, intensity_range: tuple[float, float] | None) -> NDArray[np.float32]:
    """Scales an image ``(H, W)`` of any size to [0, 1] as ``preprocessing.to_unit_range`` does, with its errors."""
    height, width = image.shape
    return to_unit_range(pad_small(image), intensity_range)[:height, :width]
