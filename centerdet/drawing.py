"""Pictures: heatmaps over images, boxes with their heading, contact sheets. Plain RGB arrays in and out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from centerdet.box import Detection, RotatedBox

FOUND_COLOR = (255, 140, 0)  # orange
TRUE_COLOR = (0, 220, 90)  # green


def draw_detection(
    image: NDArray,
    *,
    predicted: Detection | None = None,
    target: RotatedBox | None = None,
    heatmap: NDArray | None = None,
    scale: int = 2,
    caption: str = "",
    has_heading: bool = True,
) -> NDArray[np.uint8]:
    """One picture of an image: the heatmap over it, the true box in green, the found one in orange with its score.

    Args:
        image: ``(H, W)``: floats in [0, 1], or integers of the type's full range.
        predicted: What the detector said.
        target: What is there.
        heatmap: ``(H, W)`` probabilities.
        scale: Whole factor by which the picture is enlarged.
        caption: Written at the top left.
        has_heading: Whether the boxes have a nose to draw; if not, a line shows their axis.

    Returns:
        RGB ``(H * scale, W * scale, 3)``.
    """
    canvas = overlay_heatmap(image, heatmap)
    canvas = np.ascontiguousarray(canvas.repeat(scale, axis=0).repeat(scale, axis=1))
    for box, color in ((target, TRUE_COLOR), (predicted.box if predicted else None, FOUND_COLOR)):
        if box is not None:
            draw_box(canvas, box, color, scale=scale, has_heading=has_heading)
    if caption:
        _write(canvas, caption, np.array([4, 4]), (255, 255, 255))
    if predicted is not None:
        _write(canvas, f"{predicted.score:.2f}", (predicted.box.corners().max(axis=0) * scale).astype(int), FOUND_COLOR)
    return canvas


def draw_tile(
    image: NDArray,
    side: int,
    *,
    predicted: Detection | None = None,
    target: RotatedBox | None = None,
    heatmap: NDArray | None = None,
    caption: str = "",
    has_heading: bool = True,
) -> NDArray[np.uint8]:
    """As ``draw_detection``, enlarged by a whole factor, or shrunk, to a longer side of about ``side`` pixels."""
    factor = side / max(image.shape)
    if factor < 1:
        image = _shrink(image, factor)
        heatmap = None if heatmap is None else _shrink(heatmap, factor)
        predicted = predicted and replace(predicted, box=_shrink_box(predicted.box, factor))
        target = target and _shrink_box(target, factor)
    return draw_detection(
        image,
        predicted=predicted,
        target=target,
        heatmap=heatmap,
        scale=max(1, int(factor)),
        caption=caption,
        has_heading=has_heading,
    )


def _shrink(picture: NDArray, factor: float) -> NDArray:
    import cv2

    height, width = (max(1, round(side * factor)) for side in picture.shape)
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


def _shrink_box(box: RotatedBox, factor: float) -> RotatedBox:
    x, y = ((value + 0.5) * factor - 0.5 for value in (box.x, box.y))
    return RotatedBox(x=x, y=y, yaw=box.yaw, width=box.width * factor, height=box.height * factor)


def overlay_heatmap(image: NDArray, heatmap: NDArray | None) -> NDArray[np.uint8]:
    """An image in grey, tinted red where the heatmap is high: two ``(H, W)`` -> RGB ``(H, W, 3)``."""
    image = np.asarray(image)
    full = np.iinfo(image.dtype).max if image.dtype.kind in "ui" else 1.0
    grey = (image / full).clip(0, 1)[..., None].repeat(3, axis=2) * 0.75
    if heatmap is not None:
        strength = np.asarray(heatmap, dtype=np.float64)[..., None].clip(0, 1) * 0.8
        grey = grey * (1 - strength) + np.array([1.0, 0.1, 0.25]) * strength
    return (grey * 255).round().astype(np.uint8)


def draw_box(
    canvas: NDArray[np.uint8], box: RotatedBox, color: tuple[int, int, int], *, scale: int = 1, has_heading: bool = True
) -> None:
    """Draws, in place, a box and an arrow from its centre along its heading to the nose.

    Args:
        canvas: RGB ``(H, W, 3)``, contiguous.
        box: In pixels of the image before enlargement.
        color: RGB.
        scale: The enlargement.
        has_heading: If not, a line along the whole axis takes the arrow's place.
    """
    import cv2  # only pictures need it

    shift = 4  # fractional bits of OpenCV's sub-pixel coordinates
    nose = np.array(box.nose())
    start = np.array([box.x, box.y]) * (1 if has_heading else 2) - (
        0 if has_heading else nose
    )  # the centre, or the tail
    points = np.vstack([box.corners(), [start, nose]])
    points = (((points + 0.5) * scale - 0.5) * 2**shift).round().astype(np.int32)
    cv2.polylines(canvas, [points[:4]], True, color, max(1, scale // 2), cv2.LINE_AA, shift)
    start, nose = (tuple(int(value) for value in point) for point in points[4:])
    cv2.line(canvas, start, nose, color, max(1, scale // 2), cv2.LINE_AA, shift)
    if has_heading:
        cv2.circle(canvas, nose, max(2, scale) * 2**shift, color, -1, cv2.LINE_AA, shift)


def _write(canvas: NDArray[np.uint8], text: str, corner: NDArray, color: tuple[int, int, int]) -> None:
    """Writes, in place, with the text's top left at ``corner`` (x, y), moved so that all of it is in the picture."""
    import cv2

    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.5
    (width, height), _ = cv2.getTextSize(text, font, size, 1)
    x = int(min(max(corner[0], 2), canvas.shape[1] - width - 2))
    y = int(min(max(corner[1] + height, height + 2), canvas.shape[0] - 4))
    around = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]  # dark edges keep it readable on noise
    for ink, (right, down) in [*(((0, 0, 0), step) for step in around), (color, (0, 0))]:
        cv2.putText(canvas, text, (x + right, y + down), font, size, ink, 1, cv2.LINE_AA)


def contact_sheet(tiles: Sequence[NDArray[np.uint8]], *, columns: int | None = None, gap: int = 4) -> NDArray[np.uint8]:
    """Pictures ``(h, w, 3)`` of any sizes, row by row on one sheet, each at the top left of its cell.

    Raises:
        ValueError: If there is no picture.
    """
    if not tiles:
        raise ValueError("a contact sheet needs at least one picture, got none")
    columns = columns or math.ceil(math.sqrt(len(tiles)))
    height, width = (max(tile.shape[axis] for tile in tiles) + gap for axis in (0, 1))
    rows = math.ceil(len(tiles) / columns)
    sheet = np.full((rows * height + gap, columns * width + gap, 3), 255, np.uint8)
    for index, tile in enumerate(tiles):
        top, left = gap + index // columns * height, gap + index % columns * width
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return sheet
