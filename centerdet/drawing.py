"""Drawing on numpy images: boxes with their headings, heatmap overlays, contact sheets. All pictures are RGB."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from centerdet.box import Detection, RotatedBox

PREDICTED_COLOR = (255, 140, 0)  # orange
TARGET_COLOR = (0, 220, 90)  # green
HEATMAP_COLOR = (1.0, 0.1, 0.25)  # red, in [0, 1]
GREY_LEVEL = 0.75  # brightness of a white pixel: boxes and text stay visible on it
HEATMAP_OPACITY = 0.8  # of a heatmap value of 1
FONT_SCALE = 0.5  # of OpenCV's Hershey font: letters about 11 px high
PICTURE_SIDE = 400  # px: images are enlarged to about this
FRACTION_BITS = 4  # of the sub-pixel coordinates that OpenCV draws at


class Picture(np.ndarray):
    """An RGB array ``(H, W, 3)``, uint8, that notebooks show as a picture."""

    def _repr_png_(self) -> bytes | None:
        if self.ndim != 3 or self.dtype != np.uint8:
            return None  # a part of a picture
        import cv2

        options = (cv2.IMWRITE_PNG_COMPRESSION, 1)  # as fast as OpenCV's default, and a third of the size on noise
        return cv2.imencode(".png", np.asarray(self)[..., ::-1], options)[1].tobytes()


def picture_scale(shape: Sequence[int]) -> int:
    """Returns the largest whole factor that keeps the longer side of a picture within ``PICTURE_SIDE``, at least 1."""
    return max(1, PICTURE_SIDE // max(shape))


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
    """Draws an image with its heatmap in red, the true box in green, and the predicted box in orange with its score.

    Args:
        image: ``(H, W)``: floats in [0, 1], or integers of the type's full range.
        predicted: The detection.
        target: The true box.
        heatmap: ``(H, W)``, probabilities.
        scale: Whole factor by which the picture is enlarged.
        caption: Text at the top left.
        has_heading: Whether an arrow shows the heading of a box; if not, a line shows its axis.

    Returns:
        RGB picture ``(H * scale, W * scale, 3)``.
    """
    canvas = overlay_heatmap(image, heatmap)
    canvas = np.ascontiguousarray(canvas.repeat(scale, axis=0).repeat(scale, axis=1))
    for box, color in ((target, TARGET_COLOR), (predicted.box if predicted else None, PREDICTED_COLOR)):
        if box is not None:
            draw_box(canvas, box, color, scale=scale, has_heading=has_heading)
    if caption:
        _write(canvas, caption, 4, 4, (255, 255, 255))
    if predicted is not None:
        x, y = predicted.box.corners().max(axis=0) * scale
        _write(canvas, f"{predicted.score:.2f}", int(x), int(y), PREDICTED_COLOR)
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
    """Draws as ``draw_detection``, enlarged by a whole factor or shrunk to a longer side of about ``side`` px."""
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
    """Shrinks a picture ``(H, W)`` by a factor below 1; each pixel is the mean of the pixels that it covers."""
    import cv2

    height, width = (max(1, round(side * factor)) for side in picture.shape)
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


def _shrink_box(box: RotatedBox, factor: float) -> RotatedBox:
    """Scales a box with its image: pixel borders, half a px from the centres, move by the factor."""
    x, y = ((value + 0.5) * factor - 0.5 for value in (box.x, box.y))
    return RotatedBox(x=x, y=y, yaw=box.yaw, width=box.width * factor, height=box.height * factor)


def overlay_heatmap(image: NDArray, heatmap: NDArray | None) -> NDArray[np.uint8]:
    """Draws an image in grey, with red where the heatmap is high.

    Args:
        image: ``(H, W)``: floats in [0, 1], or integers of the type's full range.
        heatmap: ``(H, W)``, probabilities; ``None``: the image alone.

    Returns:
        RGB picture ``(H, W, 3)``.
    """
    image = np.asarray(image)
    full = np.iinfo(image.dtype).max if image.dtype.kind in "ui" else 1.0
    grey = (image / full).clip(0, 1)[..., None].repeat(3, axis=2) * GREY_LEVEL
    if heatmap is not None:
        strength = np.asarray(heatmap, dtype=np.float64)[..., None].clip(0, 1) * HEATMAP_OPACITY
        grey = grey * (1 - strength) + np.array(HEATMAP_COLOR) * strength
    return (grey * 255).round().astype(np.uint8)


def draw_box(
    canvas: NDArray[np.uint8], box: RotatedBox, color: tuple[int, int, int], *, scale: int = 1, has_heading: bool = True
) -> None:
    """Draws a box, in place, and an arrow from its centre to its nose.

    Args:
        canvas: RGB ``(H, W, 3)``, contiguous.
        box: The box, in px of the image before it is enlarged.
        color: RGB.
        scale: Factor by which the picture is enlarged.
        has_heading: If not, a line along the whole axis replaces the arrow.
    """
    import cv2  # here, since only pictures need it

    center, nose = np.array([box.x, box.y]), box.nose()
    start = center if has_heading else 2 * center - nose  # the centre, or the middle of the tail
    points = np.vstack([box.corners(), [start, nose]])
    points = (((points + 0.5) * scale - 0.5) * 2**FRACTION_BITS).round().astype(np.int32)
    cv2.polylines(canvas, [points[:4]], True, color, max(1, scale // 2), cv2.LINE_AA, FRACTION_BITS)
    line_start, line_end = points[4].tolist(), points[5].tolist()
    cv2.line(canvas, line_start, line_end, color, max(1, scale // 2), cv2.LINE_AA, FRACTION_BITS)
    if has_heading:
        cv2.circle(canvas, line_end, max(2, scale) * 2**FRACTION_BITS, color, -1, cv2.LINE_AA, FRACTION_BITS)


def _write(canvas: NDArray[np.uint8], text: str, x: int, y: int, color: tuple[int, int, int]) -> None:
    """Writes text, in place, with its top left at ``(x, y)`` px, moved so that all of it, or its start, is inside."""
    import cv2

    # The font has ASCII alone, and OpenCV crashes on bytes of file names that are not UTF-8.
    text = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in text)
    font = cv2.FONT_HERSHEY_SIMPLEX
    (width, height), _ = cv2.getTextSize(text, font, FONT_SCALE, 1)
    x = max(2, min(x, canvas.shape[1] - width - 2))
    y = min(max(y + height, height + 2), canvas.shape[0] - 4)
    around = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    black = [((0, 0, 0), step) for step in around]  # a dark edge keeps the text readable on noise
    for ink, (right, down) in [*black, (color, (0, 0))]:
        cv2.putText(canvas, text, (x + right, y + down), font, FONT_SCALE, ink, 1, cv2.LINE_AA)


def contact_sheet(tiles: Sequence[NDArray[np.uint8]], *, columns: int | None = None, gap: int = 4) -> NDArray[np.uint8]:
    """Arranges pictures on one sheet, row by row, each at the top left of its cell.

    Args:
        tiles: Pictures ``(h, w, 3)`` of any sizes.
        columns: Pictures in a row; ``None``: about as many as rows.
        gap: White space between pictures, px.

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
