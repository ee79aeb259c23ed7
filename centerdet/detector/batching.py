"""Batches of images: one shape each, and a bound on their pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

MAX_BATCH_PIXELS = 64_000_000  # of all images in one batch: bounds its memory; a larger image is a batch by itself


def read_shape(index: int, image: ArrayLike) -> tuple[int, ...]:
    """Returns an image's shape. A lazy image, as Pillow's, is read here; a second try could pass for a whole one."""
    try:
        return np.shape(image)
    except Exception as error:  # as in ``to_unit_range``
        raise ValueError(f"image {index}: an image must be convertible to a numpy array: {error}") from None


def group_by_shape(shapes: Sequence[tuple[int, ...]], batch_size: int) -> list[list[int]]:
    """Groups the indices of images into batches of one shape each."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for index, shape in enumerate(shapes):
        by_shape.setdefault(shape, []).append(index)
    batches = []
    for shape, indices in by_shape.items():
        size = min(batch_size, max(1, MAX_BATCH_PIXELS // max(1, math.prod(shape))))
        batches += [indices[first : first + size] for first in range(0, len(indices), size)]
    return batches
