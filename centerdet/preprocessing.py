"""Conversion of images of any supported type to float32 in [0, 1]: the one rule that the whole library uses."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

MIN_SIDE = 64  # px, the smallest side of an image
PIXEL_RULE = "uint8 / 255, uint16 / 65535, floats in [0, 1] as they are; no resizing, no normalisation"
MAX_INTENSITY = 1e30  # of an intensity range: single precision ends at 3e38
MIN_INTENSITY_STEP = 1e-30  # high - low of an intensity range: below 1e-45, single precision has only 0
_FULL_SCALE = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0}


def to_unit_range(image: ArrayLike, intensity_range: tuple[float, float] | None = None) -> NDArray[np.float32]:
    """Checks a single-channel image and scales it to [0, 1].

    Args:
        image: ``(H, W)``, each side at least 64 px; uint8, uint16 or floats.
        intensity_range: Pixel values ``(low, high)`` that become 0 and 1; values outside are clipped. ``None``: uint8
            is divided by 255 and uint16 by 65535; floats must lie in [0, 1] and stay as they are.

    Returns:
        A new array ``(H, W)``, float32 in [0, 1].

    Raises:
        ValueError: If the shape, the type or a value is not allowed.
    """
    intensity_range = check_intensity_range(intensity_range)
    try:
        array = np.asarray(image)
    except Exception as error:  # a lazy image, as Pillow's, reads its file here, and can fail in many ways
        raise ValueError(f"an image must be convertible to a numpy array: {error}") from None
    if array.ndim != 2:
        raise ValueError(
            f"an image must have 2 dimensions (height, width), got shape {array.shape}; "
            "select one channel, and use detect_batch for several images"
        )
    if min(array.shape) < MIN_SIDE:
        raise ValueError(f"an image must be at least {MIN_SIDE} px a side, got {array.shape}; pad it")
    dtype = array.dtype.newbyteorder("=")
    if dtype in _FULL_SCALE:
        low, high = intensity_range or (0.0, _FULL_SCALE[dtype])
        return ((array - np.float32(low)) / np.float32(high - low)).clip(0, 1).astype(np.float32)
    if dtype.kind != "f":
        raise ValueError(f"an image must be uint8, uint16 or floating point, got {array.dtype}; convert it")
    if not np.isfinite(array).all():
        raise ValueError("an image must have finite pixels, got NaN or infinity; replace them, for example by 0")
    if intensity_range is not None:
        low, high = intensity_range  # in double precision, since half precision ends at 65,504
        return ((array.astype(np.float64).clip(low, high) - low) / (high - low)).astype(np.float32)
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > 1:
        raise ValueError(
            f"floating-point pixels must lie in [0, 1], got {low:g} to {high:g}; rescale them, "
            "or give the values that are 0 and 1 (intensity_range)"
        )
    return array.astype(np.float32)


def check_intensity_range(values: Any) -> tuple[float, float] | None:
    """Checks pixel values ``(low, high)`` that become 0 and 1, and returns them; ``None`` stays ``None``.

    Raises:
        ValueError: If they are not two increasing numbers that single precision can hold and divide by.
    """
    if values is None:
        return None
    try:
        low, high = values
        valid = all(isinstance(value, numbers.Real) and not isinstance(value, bool) for value in (low, high))
        valid = valid and all(math.isfinite(value) and abs(value) <= MAX_INTENSITY for value in (low, high))
    except (TypeError, ValueError, OverflowError):
        valid = False
    if not valid or not high - low >= MIN_INTENSITY_STEP:
        raise ValueError(
            f"intensity_range must be two increasing numbers of at most {MAX_INTENSITY:g}, "
            f"at least {MIN_INTENSITY_STEP:g} apart, got {str(values)[:60]}"
        )
    return low, high
