"""Reader of image files: PNG, JPEG, TIFF, BMP and NPY, with 8 or 16 bits or floats; colour becomes grey.

Grey is 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601); an alpha channel is ignored. Images with an orientation tag are
rotated accordingly, as viewers show them. ``preprocessing`` scales pixels to [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from centerdet.data.folders import list_files
from centerdet.data.image_headers import MAX_EXTRA_BYTES, MAX_PIXEL_BYTES, MAX_PIXELS, image_size, unreadable
from centerdet.files import is_folder, open_regular, read_regular
from centerdet.native_messages import hide_native_messages
from centerdet.preprocessing import MIN_SIDE, to_unit_range

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".npy")
MAX_FILE_BYTES = MAX_PIXELS * MAX_PIXEL_BYTES + MAX_EXTRA_BYTES
MIN_BRIGHTNESS = 0.2  # of the full scale: 12 bits in 16 reach 0.06, so a wrong intensity_range is found
GREY_WEIGHTS = np.array([0.299, 0.587, 0.114])  # R, G, B: ITU-R BT.601
_BLOCK_PIXELS = 2**22  # pixels that become grey at once: bounds the memory of the intermediate floats
_FLAGS = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH  # not IMREAD_GRAYSCALE, whose weights depend on the file type


def find_images(
    folder: Path, *, unlisted: list[Path] | None = None, suffixes: tuple[str, ...] = SUFFIXES
) -> list[Path]:
    """Returns all image files in a folder and its subfolders, sorted by name.

    Args:
        folder: The folder.
        unlisted: Receives the subfolders that cannot be listed; ``None``: they raise an error.
        suffixes: Of the files that count as images, in small letters.

    Raises:
        ValueError: If the folder does not exist, cannot be listed, or holds no image.
    """
    if not is_folder(folder):
        raise ValueError(f"there is no folder {folder}; correct the path")
    files = list_files(folder, unlisted=unlisted)
    paths = [path for path in files if path.suffix.lower() in suffixes]
    if not paths and not unlisted:
        raise ValueError(f"there is no image in {folder}; suffixes of images are {', '.join(suffixes)}")
    return paths


def read_image(path: Path) -> NDArray:
    """Reads one image ``(H, W)`` with the file's type: uint8, uint16 or float.

    Raises:
        ValueError: If the file cannot be read, has no pixel or more than ``MAX_PIXELS``, several pages, or needs more
            memory than there is.
    """
    image_size(path)
    try:
        if path.suffix.lower() == ".npy":
            with open_regular(path) as file:
                return to_grey(np.lib.format.read_array(file, allow_pickle=False))
        return decode_picture(np.frombuffer(read_regular(path, max_bytes=MAX_FILE_BYTES), np.uint8))
    except Exception as error:  # damaged files make the decoders raise many types
        raise unreadable(path, error) from None


def decode_picture(content: NDArray[np.uint8]) -> NDArray:
    """Decodes the bytes of a picture's file to ``(H, W)``; raises a ``ValueError`` if OpenCV cannot."""
    with opencv_silent():
        array = cv2.imdecode(content, _FLAGS)
    if array is None:
        raise ValueError("it is damaged, or of a type that OpenCV cannot read")
    return to_grey(array[..., ::-1] if array.ndim == 3 else array)  # OpenCV's order is blue, green, red


def read_usable(path: Path, check: Callable[[NDArray], object]) -> NDArray:
    """Reads one image as ``read_image`` does, and checks its pixels.

    Args:
        path: The file.
        check: Raises a ``ValueError`` if the pixels cannot be used, as ``BaseDetector.check`` does. It receives the
            image padded as by ``pad_small``.

    Raises:
        ValueError: As ``read_image`` and ``check``; the message names the file.
    """
    return check_usable(read_image(path), check, str(path))


def check_usable(image: NDArray, check: Callable[[NDArray], object], name: str) -> NDArray:
    """Returns an image after a check as that of ``read_usable``, whose error then begins with ``name``."""
    try:
        check(pad_small(image))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return image


def to_grey(array: NDArray) -> NDArray:
    """Converts ``(H, W)``, ``(H, W, 1)``, or RGB(A) ``(H, W, 3)`` and ``(H, W, 4)`` to ``(H, W)`` of the same type."""
    if array.ndim == 2:
        return array
    if array.dtype.kind not in "uif" or array.shape[2] not in (1, 3, 4):
        raise ValueError(f"an image must have 1, 3 or 4 channels of numbers, got {array.dtype} {array.shape}")
    if array.shape[2] == 1:
        return array[..., 0]
    grey = np.empty(array.shape[:2], array.dtype)
    rows = max(1, _BLOCK_PIXELS // array.shape[1])
    for first in range(0, len(array), rows):
        grey[first : first + rows] = _mix_channels(array[first : first + rows, :, :3])
    return grey


def _mix_channels(colours: NDArray) -> NDArray:
    """Converts RGB ``(H, W, 3)`` to grey ``(H, W)``, between the darkest and the brightest channel of each pixel."""
    if colours.dtype.kind != "f":
        return np.rint(colours @ GREY_WEIGHTS.astype(np.float32))
    # Rounded weights do not add up to exactly 1, and white must not exceed 1.
    return (colours @ GREY_WEIGHTS).clip(colours.min(axis=-1), colours.max(axis=-1))


@contextmanager
def opencv_silent() -> Iterator[None]:
    """Keeps OpenCV and its decoders from printing to stderr: the error is reported by an exception."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        with hide_native_messages():
            yield
    finally:
        cv2.utils.logging.setLogLevel(level)


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
    """Pads an image ``(H, W)`` with zeros on the right and below to at least 64 px a side; a large one is returned."""
    if min(image.shape) >= MIN_SIDE:
        return image
    return np.pad(image, [(0, max(0, MIN_SIDE - side)) for side in image.shape])


def normalise(image: NDArray, intensity_range: tuple[float, float] | None) -> NDArray[np.float32]:
    """Scales an image ``(H, W)`` of any size to [0, 1] as ``preprocessing.to_unit_range`` does, with its errors."""
    height, width = image.shape
    return to_unit_range(pad_small(image), intensity_range)[:height, :width]
