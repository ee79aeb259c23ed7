"""Where a crop may lie in an image so that it holds the object; checks of training batches and of their phases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

MAX_BATCH = 65_536  # images: far above useful batches; a config alone must not fill the memory


def crop_bounds(
    points: NDArray[np.float64], *, image_size: ArrayLike, crop_size: ArrayLike, center: ArrayLike | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the range of top left corners whose crops hold the visible part of each object.

    An object that is larger than the crop covers it from edge to edge: the crop lies within the object's extent.

    Args:
        points: ``(..., N, 2)`` points as (x, y) in px that span each object; parts outside the image do not count.
        image_size: Width and height of the image in px, or one number for both; at least ``crop_size``.
        crop_size: Width and height of the crop in px, or one number for both.
        center: ``(..., 2)`` points as (x, y) in px that the crop of a larger object must hold as well, as far as they
            lie in the image; ``None``: no such point.

    Returns:
        Lowest and highest corner, both included, as (x, y): two integer arrays ``(..., 2)`` from 0 to
        ``image_size - crop_size``.
    """
    image_size, last = np.asarray(image_size), np.asarray(crop_size) - 1  # last: the crop's last pixel
    visible = points.clip(0, image_size - 1)  # (..., N, 2)
    holds_end, holds_start = np.ceil(visible.max(axis=-2)) - last, np.floor(visible.min(axis=-2))  # each (..., 2)
    low, high = np.minimum(holds_end, holds_start), np.maximum(holds_end, holds_start)
    if center is not None:
        center = np.clip(center, 0, image_size - 1)
        low, high = (corner.clip(np.ceil(center) - last, np.floor(center)) for corner in (low, high))
    room = image_size - 1 - last
    return low.clip(0, room).astype(np.int64), high.clip(0, room).astype(np.int64)


def check_phase_ends(ends: Sequence[float]) -> None:
    """Checks the ends of the phases of training, as fractions of all steps.

    Raises:
        ValueError: If the ends do not increase from above 0 to 1.
    """
    if not ends or not ends[0] > 0 or ends[-1] != 1 or list(ends) != sorted(set(ends)):
        raise ValueError(
            f"the end_fraction of phases must lie above 0 and increase, the last must be 1, got {list(ends)}"
        )


def check_batch_size(size: int) -> None:
    """Checks the number of images in a training batch or block.

    Raises:
        ValueError: If it is out of range.
    """
    if not 1 <= size <= MAX_BATCH:
        raise ValueError(f"batch_size and images_per_block must lie in 1..{MAX_BATCH:,}, got {size:,}")
