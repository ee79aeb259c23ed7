"""What all families share: sizes of images, where an object lies, masks of its outline, and photographs."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import skimage
from numpy.typing import NDArray

from centerdet import RotatedBox
from centerdet.box import box_to_image

SIDES = (160, 257)  # px, of an image; the upper end is excluded
EMPTY = 0.2  # fraction of the images without an object
MARGIN = 0.35  # of the box's longer side, from the centre to the border: some objects are cut
SUPERSAMPLING = 4  # per side, of masks


def draw_size(rng: np.random.Generator) -> tuple[int, int]:
    """Draws the height and width of an image, px."""
    height, width = rng.integers(*SIDES, size=2)
    return int(height), int(width)


def draw_box(
    rng: np.random.Generator, shape: tuple[int, int], *, length: tuple[float, float], ratio: tuple[float, float]
) -> RotatedBox | None:
    """Draws where the object lies; ``None``: the image has no object.

    Args:
        rng: Source of randomness.
        shape: Height and width of the image, px.
        length: Range of the box's longer side, px.
        ratio: Range of width / height; at most 1 makes the heading the longer side.
    """
    if rng.random() < EMPTY:
        return None
    longer, aspect = rng.uniform(*length), math.exp(rng.uniform(*np.log(ratio)))
    width, height = (longer * aspect, longer) if aspect <= 1 else (longer, longer / aspect)
    margin = MARGIN * longer
    y, x = (rng.uniform(margin, side - margin) for side in shape)
    return RotatedBox(x, y, rng.uniform(-math.pi, math.pi), width, height)


def draw_outline(rng: np.random.Generator, corners: NDArray[np.float64], *, jitter: float) -> NDArray[np.float64]:
    """Varies an outline and fits it into the unit box.

    Args:
        rng: Source of randomness.
        corners: ``(N, 2)``: u across and v along the heading, the nose at the largest v.
        jitter: Standard deviation of each corner, relative to the outline's extents.

    Returns:
        ``(N, 2)`` whose u and v reach from -0.5 to 0.5 exactly. Half of the outlines are mirrored.
    """
    points = fit_unit_box(corners) + rng.normal(0, jitter, corners.shape)
    return fit_unit_box(points * (rng.choice((-1, 1)), 1))


def fit_unit_box(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Moves and scales points so that each coordinate reaches from -0.5 to 0.5."""
    low, high = points.min(axis=0), points.max(axis=0)
    return (points - low) / (high - low) - 0.5


def mask_outline(
    outline: NDArray[np.float64], box: RotatedBox, shape: tuple[int, int], *, thickness: float | None
) -> NDArray[np.float32]:
    """Draws an outline.

    Args:
        outline: From ``draw_outline``.
        box: Where it lies.
        shape: Height and width of the image, px.
        thickness: Of the line, px; ``None``: filled.

    Returns:
        The covered fraction of each pixel, ``(H, W)``.
    """
    points = box_to_image(box.to_array()[None], outline * (box.width, box.height))[0]
    fine = np.zeros([side * SUPERSAMPLING for side in shape], np.uint8)
    vertices = [_to_fine(points)]
    if thickness is None:
        cv2.fillPoly(fine, vertices, 255)
    else:
        cv2.polylines(fine, vertices, True, 255, round(thickness * SUPERSAMPLING))
    return _to_coarse(fine, shape)


def mask_lines(ends: NDArray[np.float64], shape: tuple[int, int], *, thickness: float) -> NDArray[np.float32]:
    """Draws straight lines with the ends ``(N, 2, 2)``, x and y in px; arguments and result as of ``mask_outline``."""
    fine = np.zeros([side * SUPERSAMPLING for side in shape], np.uint8)
    cv2.polylines(fine, [_to_fine(pair) for pair in ends], False, 255, round(thickness * SUPERSAMPLING))
    return _to_coarse(fine, shape)


def _to_fine(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """Converts x and y to pixels of the supersampled mask; whole numbers are the centres of pixels in both."""
    return np.rint((points + 0.5) * SUPERSAMPLING - 0.5).astype(np.int32)


def _to_coarse(fine: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.float32]:
    return cv2.resize(fine.astype(np.float32) / 255, shape[::-1], interpolation=cv2.INTER_AREA)


@cache
def read_photograph(name: str) -> NDArray[np.float32]:
    """Reads a photograph of scikit-image's wheel in grey: ``(H, W)`` in [0, 1].

    Raises:
        ValueError: If this version of scikit-image does not have it.
    """
    path = Path(skimage.__file__).parent / "data" / name
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise ValueError(f"scikit-image {skimage.__version__} has no {path}; pip install -r requirements.txt")
    return image.astype(np.float32) / 255


def draw_ground(
    rng: np.random.Generator, photograph: NDArray[np.float32], shape: tuple[int, int], *, scale: tuple[float, float]
) -> NDArray[np.float32]:
    """Draws a part of a photograph, scaled, mirrored or turned by quarter turns: ``(H, W)``."""
    photograph = np.rot90(photograph, rng.integers(4))[:: rng.choice((-1, 1))]
    factor = max(rng.uniform(*scale), *(side / there for side, there in zip(shape, photograph.shape, strict=True)))
    height, width = (min(there, round(side / factor)) for side, there in zip(shape, photograph.shape, strict=True))
    top, left = (rng.integers(there - side + 1) for side, there in zip((height, width), photograph.shape, strict=True))
    part = np.ascontiguousarray(photograph[top : top + height, left : left + width])
    return cv2.resize(part, shape[::-1], interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)


def to_8_bit(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Converts an image in [0, 1] to 8 bits; values outside are clipped."""
    return (image * 255).round().clip(0, 255).astype(np.uint8)
