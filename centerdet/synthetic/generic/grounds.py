"""Random grounds: noise of several kinds, gradients, textures, and crops of photographs that scikit-image ships.

Photographs: skimage.data; their licences are listed in scikit-image's own README of that folder (public domain, CC0 or
freely usable).
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]  # (H, W)

PHOTOGRAPHS = ("camera", "coins", "page", "text", "moon", "clock", "astronaut", "coffee")


def draw_ground(rng: np.random.Generator, size: int) -> Image:
    """Draws a ground ``(size, size)`` of mean 0 and standard deviation 1, or of zeros."""
    kind = rng.random()
    if kind < 0.12:
        return np.zeros((size, size), np.float32)
    if kind < 0.40:
        return _standardise(_power_noise(rng, size, rng.uniform(0.5, 2.5)))
    if kind < 0.50:
        return _standardise(_gradient(rng, size))
    if kind < 0.62:
        return _standardise(_stripes(rng, size))
    if kind < 0.67:
        return _standardise(_cells(rng, size))
    return _standardise(_photograph(rng, size))


def draw_texture(rng: np.random.Generator, size: int) -> Image:
    """Draws the inside of an object: a ground of its own, half of the time plain."""
    return np.zeros((size, size), np.float32) if rng.random() < 0.5 else draw_ground(rng, size)


def _standardise(image: Image) -> Image:
    return (image - image.mean()) / max(float(image.std()), 1e-3)


def _power_noise(rng: np.random.Generator, size: int, exponent: float) -> Image:
    """Noise whose amplitude falls with ``frequency ** exponent``: 0 is white, 2 is cloudy."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None] * rng.uniform(0.5, 2), np.fft.rfftfreq(size))
    frequency[0, 0] = 1
    spectrum = np.fft.rfft2(rng.standard_normal((size, size))) / frequency**exponent
    return np.fft.irfft2(spectrum, (size, size)).astype(np.float32)


def _gradient(rng: np.random.Generator, size: int) -> Image:
    """A smooth slope or vignette, from a few random values."""
    knots = rng.standard_normal((int(rng.integers(2, 5)), int(rng.integers(2, 5)))).astype(np.float32)
    return np.asarray(cv2.resize(knots, (size, size), interpolation=cv2.INTER_CUBIC), np.float32)


def _stripes(rng: np.random.Generator, size: int) -> Image:
    """Stripes, a grid or a weave, slightly irregular."""
    y, x = np.mgrid[:size, :size].astype(np.float32)
    x, y = x + 2 * _gradient(rng, size), y + 2 * _gradient(rng, size)
    angle, period = rng.uniform(0, np.pi), rng.uniform(4, 40)
    first = np.cos((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period)
    second = np.cos((y * np.cos(angle) - x * np.sin(angle)) * 2 * np.pi / (period * rng.uniform(0.7, 3)))
    waves = first if rng.random() < 0.5 else np.maximum(first, second) if rng.random() < 0.5 else first * second
    return np.tanh(waves * rng.uniform(0.5, 6)) + rng.uniform(0, 0.5) * _power_noise(rng, size, 0.5)


def _cells(rng: np.random.Generator, size: int) -> Image:
    """Patches of random grey, like stones or tiles: each pixel has the grey of the nearest of some points."""
    count = int(rng.integers(6, 120))
    seeds = np.full((size, size), 255, np.uint8)
    seeds[rng.integers(0, size, count), rng.integers(0, size, count)] = 0
    _, labels = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    greys = rng.standard_normal(int(labels.max()) + 1).astype(np.float32)
    return greys[labels]


def _photograph(rng: np.random.Generator, size: int) -> Image:
    """A crop of a photograph, at a random scale, turned by quarter turns and mirrored."""
    picture = _photographs()[int(rng.integers(len(PHOTOGRAPHS)))]
    side = int(min(*picture.shape, size * rng.uniform(0.6, 2)))
    top, left = (int(rng.integers(0, length - side + 1)) for length in picture.shape)
    crop = cv2.resize(picture[top : top + side, left : left + side], (size, size), interpolation=cv2.INTER_AREA)
    crop = np.rot90(crop, int(rng.integers(4)))
    return np.asarray(crop[:, ::-1] if rng.random() < 0.5 else crop, np.float32)


@cache
def _photographs() -> list[Image]:
    from skimage import color, data

    pictures = [getattr(data, name)() for name in PHOTOGRAPHS]
    grey = [color.rgb2gray(picture[..., :3]) if picture.ndim == 3 else picture / 255 for picture in pictures]
    return [picture.astype(np.float32) for picture in grey]
