"""Family ``cutout``: a motorcycle, a cat's face or the inside of an eye, cut out of photographs, on other photographs.

Pieces of the grounds are pasted beside the object, so that a pasted edge alone does not give it away.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from centerdet import RotatedBox
from tools.families.scene import draw_box, draw_ground, draw_size, read_photograph, to_8_bit

LENGTH = (45.0, 110.0)  # px, of the object's longer side
GROUNDS = ("brick.png", "grass.png", "gravel.png", "ihc.png", "hubble_deep_field.jpg", "rocket.jpg")
SCALE = (0.5, 1.2)  # of a ground
MAX_SIDE = 330  # px, three times the largest object
EDGE = 0.8  # px, blur of a pasted edge
GAIN, OPACITY = (0.6, 1.2), (0.6, 1.0)  # of the object's pixels
NOISE_STD = 0.02  # of the full scale
PIECES = 3  # at most
PIECE_SIDE = (25.0, 80.0)  # px
MIN_PIECE_SCALE = 0.3  # of the shorter to the longer side
# Outlines in the photographs, x and y in px.
_MOTORCYCLE = [
    *[(100, 240), (94, 202), (124, 202), (140, 185), (138, 160), (146, 146), (162, 146), (168, 160), (210, 164)],
    *[(245, 168), (280, 194), (355, 188), (335, 150), (335, 125), (370, 112), (385, 125), (410, 122), (430, 130)],
    *[(468, 126), (470, 118), (505, 95), (520, 98), (535, 120), (550, 125), (565, 118), (580, 122), (580, 140)],
    *[(560, 145), (558, 170), (535, 188), (550, 195), (550, 210), (577, 260), (610, 275), (645, 302), (670, 340)],
    *[(682, 380), (678, 420), (660, 442), (632, 453), (590, 438), (550, 405), (525, 360), (513, 320), (505, 328)],
    *[(504, 310), (500, 240), (475, 250), (478, 290), (472, 330), (450, 365), (420, 379), (380, 378), (325, 365)],
    *[(270, 365), (255, 380), (230, 398), (200, 401), (170, 390), (142, 365), (125, 325), (122, 295), (135, 260)],
    *[(150, 242), (110, 245)],
]
_CAT = [
    *[(90, 2), (180, 0), (290, 0), (330, 30), (345, 80), (352, 110), (345, 160), (330, 200), (308, 235), (300, 260)],
    *[(280, 280), (250, 288), (200, 280), (160, 270), (120, 245), (85, 215), (60, 180), (45, 140), (50, 110)],
    *[(70, 80), (75, 40)],
]
_EYE = [(706 + 675 * math.cos(t), 706 + 675 * math.sin(t)) for t in np.linspace(0, 2 * np.pi, 60, endpoint=False)]


class Cutout(NamedTuple):
    """A thing in a photograph.

    Attributes:
        photograph: Its file.
        outline: Corners as x and y, px, a tuple so that ``cut_out`` can be cached.
        quarter_turns: Counter-clockwise ones, which make the heading point down.
    """

    photograph: str
    outline: tuple[tuple[float, float], ...]
    quarter_turns: int


CUTOUTS = (
    Cutout("motorcycle_left.png", tuple(_MOTORCYCLE), 3),  # heads for the front wheel, on the right
    Cutout("chelsea.png", tuple(_CAT), 2),  # heads for the forehead, above
    Cutout("retina.jpg", tuple(_EYE), 1),  # heads for the bright optic disc, on the left
)


def draw(rng: np.random.Generator) -> tuple[NDArray[np.uint8], RotatedBox | None]:
    """Draws one image and the box of its object, or ``None``."""
    shape = draw_size(rng)
    image = draw_ground(rng, read_photograph(rng.choice(GROUNDS)), shape, scale=SCALE)
    for _ in range(rng.integers(PIECES + 1)):
        image = _paste_piece(rng, image)
    pixels, mask = cut_out(CUTOUTS[rng.integers(len(CUTOUTS))])
    ratio = mask.shape[1] / mask.shape[0]
    box = draw_box(rng, shape, length=LENGTH, ratio=(ratio, ratio))
    if box is not None:
        if rng.random() < 0.5:
            pixels, mask = pixels[:, ::-1], mask[:, ::-1]
        pixels, mask = _place(pixels, mask, box, shape)
        image += rng.uniform(*OPACITY) * mask * (rng.uniform(*GAIN) * pixels - image)
    return to_8_bit(image + rng.normal(0, NOISE_STD, shape)), box


@cache
def cut_out(cutout: Cutout) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns the pixels and the mask of a thing in its own axes: u to the right, the heading down; ``(H, W)`` each.

    The longer side is ``MAX_SIDE`` at most, since ``_place`` shrinks it further for each image.
    """
    photograph = read_photograph(cutout.photograph)
    corners = np.rint(cutout.outline).astype(np.int32)
    mask = np.zeros(photograph.shape, np.float32)
    cv2.fillPoly(mask, [corners], 1.0)
    x, y, width, height = cv2.boundingRect(corners)
    factor = min(1.0, MAX_SIDE / max(width, height))
    parts = (part[y : y + height, x : x + width] for part in (photograph, mask))
    small = (cv2.resize(part, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA) for part in parts)
    pixels, mask = (np.rot90(part, cutout.quarter_turns) for part in small)
    return pixels, mask


def _place(
    pixels: NDArray[np.float32], mask: NDArray[np.float32], box: RotatedBox, shape: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Moves a cutout into its box: its pixels and its soft mask in an image of that shape."""
    size = (max(2, round(box.width)), max(2, round(box.height)))
    scale = np.array([box.width / size[0], box.height / size[1]])  # of the last fraction of a pixel
    turn = np.array([[math.cos(box.yaw), math.sin(box.yaw)], [-math.sin(box.yaw), math.cos(box.yaw)]]) * scale
    middle = (np.array(size) - 1) / 2
    matrix = np.column_stack([turn, (box.x, box.y) - turn @ middle])
    small = (cv2.resize(np.ascontiguousarray(part), size, interpolation=cv2.INTER_AREA) for part in (pixels, mask))
    moved_pixels, moved_mask = (
        cv2.warpAffine(part, matrix, shape[::-1], flags=cv2.INTER_LINEAR, borderMode=mode)
        for part, mode in zip(small, (cv2.BORDER_REPLICATE, cv2.BORDER_CONSTANT), strict=True)
    )
    return moved_pixels, cv2.GaussianBlur(moved_mask, (0, 0), EDGE)


def _paste_piece(rng: np.random.Generator, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pastes an ellipse of another ground."""
    shape = image.shape[:2]
    other = draw_ground(rng, read_photograph(rng.choice(GROUNDS)), shape, scale=SCALE)
    longer = rng.uniform(*PIECE_SIDE)
    axes = (longer / 2, longer / 2 * rng.uniform(MIN_PIECE_SCALE, 1))
    center = tuple(rng.uniform(0, shape[::-1]).tolist())
    mask = np.zeros(shape, np.float32)
    cv2.ellipse(mask, (center, (2 * axes[0], 2 * axes[1]), rng.uniform(0, 180)), 1.0, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), EDGE)
    return image + rng.uniform(*OPACITY) * mask * (rng.uniform(*GAIN) * other - image)
