"""Draws generic scenes: at most one shape, filled or outlined, on a ground with clutter, blur and noise."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from centerdet.box import RotatedBox, box_to_image
from centerdet.synthetic.generic.grounds import Image, draw_ground, draw_texture
from centerdet.synthetic.generic.shapes import Shape, draw_shape

MIN_LENGTH, MAX_LENGTH = 12.0, 160.0  # px, longer side of the objects
MIN_SPARSE_LENGTH = 24.0  # the same of outlines in uniform noise: smaller ones cannot be seen
MAX_LENGTH_SHARE = 0.75  # of the image's side
MARGIN = 0.05  # of the side: centres lie within
CUT = 0.2  # fraction of objects that the border may cut
SUBPIXEL_BITS = 4  # OpenCV draws at 1 / 16 px
OUTLINED = 0.45  # fraction of objects without a filling
SPARSE = 0.35  # fraction of outlines whose pixels have random values, as in point clouds and the task's scenes
HARD_CONTRAST, EASY_CONTRAST, TOP_CONTRAST = 0.7, 2.5, 8.0  # in standard deviations of the ground


def draw_scene(
    rng: np.random.Generator, size: int, *, difficulty: float = 1.0, object_probability: float = 0.85
) -> tuple[Image, RotatedBox | None]:
    """Draws a scene.

    Args:
        rng: The source of randomness.
        size: Side of the image, px.
        difficulty: From 0 (high contrast, little clutter) to 1.
        object_probability: Probability of an object.

    Returns:
        The image ``(size, size)`` with values in [0, 1], and the object's box or ``None``.
    """
    if rng.random() < 0.12 * difficulty:
        return _draw_sparse_scene(rng, size, object_probability)
    image = draw_ground(rng, size)
    flat = not image.any()
    noise = rng.uniform(0.03, 0.6) if flat else rng.uniform(0, 0.5)
    low = EASY_CONTRAST * (HARD_CONTRAST / EASY_CONTRAST) ** difficulty
    contrast = math.exp(rng.uniform(math.log(low), math.log(TOP_CONTRAST))) * rng.choice([-1, 1])
    if flat:
        contrast *= noise / 2  # against the noise
    _draw_clutter(rng, image, contrast, count=rng.poisson(4 * difficulty))
    box = None
    if rng.random() < object_probability:
        shape, box = _place(rng, size)
        _draw_object(rng, image, shape, box, contrast)
    if rng.random() < 0.3:
        _draw_clutter(rng, image, contrast, count=rng.poisson(1.5 * difficulty))
    return _expose(rng, image, noise), box


def _place(rng: np.random.Generator, size: int, shortest: float = MIN_LENGTH) -> tuple[Shape, RotatedBox]:
    """Draws a shape and where it lies."""
    longest = min(MAX_LENGTH, MAX_LENGTH_SHARE * size)
    shape = draw_shape(rng, math.exp(rng.uniform(math.log(shortest), math.log(longest))))
    margin = MARGIN * size if rng.random() < CUT else min(0.5 * size, 0.45 * math.hypot(shape.width, shape.height))
    x, y = rng.uniform(margin, size - margin, 2)
    return shape, RotatedBox(x, y, rng.uniform(-math.pi, math.pi), shape.width, shape.height)


def _draw_object(rng: np.random.Generator, image: Image, shape: Shape, box: RotatedBox, contrast: float) -> None:
    """Draws an object into an image, in place: filled, filled with a rim, or outlined."""
    rings = [_to_image(ring, box) for ring in shape.rings]
    mark = None if shape.mark is None else _to_image(shape.mark, box)
    thickness = int(rng.integers(1, 2 + min(4, int(shape.width / 10))))
    if rng.random() < OUTLINED:
        if mark is not None:
            rings.append(mark)
        values: Image | float = contrast
        if rng.random() < SPARSE:
            values = contrast * rng.uniform(0, 1.6, image.shape).astype(np.float32)
        _blend(image, _line_mask(image.shape, rings, thickness), values)
        return
    filling = contrast + draw_texture(rng, len(image)) * rng.uniform(0.1, 0.6)
    if rng.random() < 0.2:
        filling = filling * rng.choice([1.0, 0.7])
    _blend(image, _fill_mask(image.shape, rings), filling)
    inner = contrast * rng.choice([-0.8, 0.0, 2.0])
    if mark is not None:
        _blend(image, _fill_mask(image.shape, [mark]), inner)
    if rng.random() < 0.3:
        _blend(image, _line_mask(image.shape, rings, thickness), inner)


def _draw_clutter(rng: np.random.Generator, image: Image, contrast: float, *, count: int) -> None:
    """Draws lines, arcs and blobs of about the object's contrast, in place."""
    size = len(image)
    for _ in range(count):
        mask = np.zeros(image.shape, np.uint8)
        thickness, kind = int(rng.integers(1, 4)), rng.random()
        start, end = rng.integers(-size // 4, size + size // 4, (2, 2)).tolist()
        if kind < 0.6:
            cv2.line(mask, start, end, 255, thickness, cv2.LINE_AA)
        elif kind < 0.85:
            axes, first = rng.integers(4, size // 2, 2).tolist(), float(rng.uniform(0, 360))
            cv2.ellipse(mask, start, axes, first, 0, float(rng.uniform(40, 250)), 255, thickness, cv2.LINE_AA)
        else:
            cv2.circle(mask, start, int(rng.integers(1, max(3, size // 20))), 255, -1, cv2.LINE_AA)
        value: Image | float = contrast * rng.uniform(0.5, 1.2) * (1 if rng.random() < 0.8 else -1)
        if rng.random() < SPARSE:
            value = value * rng.uniform(0, 1.6, image.shape).astype(np.float32)
        _blend(image, mask, value)


def _expose(rng: np.random.Generator, image: Image, noise: float) -> Image:
    """Adds blur, noise and an uneven light, and maps the result into [0, 1] with random contrast and offset."""
    if rng.random() < 0.5:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.5)), np.float32)
    kind = rng.random()
    if kind < 0.6:
        image = image + noise * rng.standard_normal(image.shape, np.float32)
    elif kind < 0.8:
        image = image + noise * (rng.random(image.shape, np.float32) - 0.5) * math.sqrt(12)
    else:  # brighter pixels are noisier, as in photon counts
        shot = np.sqrt((image - image.min()) / max(float(np.ptp(image)), 1e-3) + 0.1)
        image = image + noise * shot * rng.standard_normal(image.shape, np.float32)
    low, high = np.quantile(image, (0.002, 0.998))
    span = rng.uniform(0.1, 1.1)
    offset = rng.uniform(0, max(0.0, 1 - span))
    scaled = ((image - low) / max(float(high - low), 1e-3) * span + offset).clip(0, 1)
    if rng.random() < 0.3:
        scaled = scaled ** rng.uniform(0.6, 1.6)
    if rng.random() < 0.7:
        scaled = np.rint(scaled * 255) / 255
    return scaled.astype(np.float32)


def _draw_sparse_scene(
    rng: np.random.Generator, size: int, object_probability: float
) -> tuple[Image, RotatedBox | None]:
    """A scene as the task's: uniform noise, outlines and lines of pixels with uniform values, the maximum of all."""
    level = rng.uniform(0.4, 0.9)
    image = level * rng.random((size, size), np.float32)
    drawn = np.zeros((size, size), np.uint8)
    for _ in range(int(rng.integers(0, 7))):
        start, end = rng.integers(0, size, (2, 2)).tolist()
        cv2.line(drawn, start, end, 1, 1)
    box = None
    if rng.random() < object_probability:
        shape, box = _place(rng, size, MIN_SPARSE_LENGTH)
        rings = [_to_image(ring, box) for ring in (*shape.rings, *(() if shape.mark is None else (shape.mark,)))]
        cv2.polylines(drawn, [np.rint(ring).astype(np.int32) for ring in rings], True, 1, 1)
    return np.maximum(image, drawn * rng.random((size, size), np.float32)), box


def _to_image(points: NDArray[np.float64], box: RotatedBox) -> NDArray[np.float64]:
    """Returns points ``(N, 2)`` of the box's own frame as (x, y) in px."""
    return box_to_image(box.to_array()[None], points)[0]


def _fixed_point(rings: list[NDArray[np.float64]]) -> list[NDArray[np.int32]]:
    return [np.rint(ring * 2**SUBPIXEL_BITS).astype(np.int32) for ring in rings]


def _fill_mask(shape: tuple[int, int], rings: list[NDArray[np.float64]]) -> NDArray[np.uint8]:
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, _fixed_point(rings), 255, cv2.LINE_AA, SUBPIXEL_BITS)
    return mask


def _line_mask(shape: tuple[int, int], rings: list[NDArray[np.float64]], thickness: int) -> NDArray[np.uint8]:
    mask = np.zeros(shape, np.uint8)
    cv2.polylines(mask, _fixed_point(rings), True, 255, thickness, cv2.LINE_AA, SUBPIXEL_BITS)
    return mask


def _blend(image: Image, mask: NDArray[np.uint8], values: Image | float) -> None:
    alpha = mask.astype(np.float32) / 255
    image += alpha * (values - image)
