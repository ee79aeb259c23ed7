"""The task's synthetic scenes: a noisy image, some lines, and at most one arrow-shaped ship.

* ``make_data`` is the official generator, bit for bit, on numpy's global stream.
* ``SyntheticScenes`` gives the same scenes from a random state of its own: scene ``i`` depends on ``(seed, i)`` alone.

``batches`` draws whole batches of the same law on a torch device, for training.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from skimage.draw import line, polygon_perimeter

from centerdet.box import RotatedBox, box_to_image

LINE_RANGE = 200  # px: lines end within the first 200 pixels, whatever the image's size
MARGIN = 10  # px: no ship's centre is nearer to the border
WIDTHS = (18, 37)  # px: half-open range of ship widths
RATIO = (3 / 2, 0.2)  # mean and deviation of length to width
NOTCH = (1 / 3, 0.1)  # mean and deviation of the notch's depth, in lengths


class Scene(NamedTuple):
    """One scene, and what was drawn.

    Attributes:
        image: ``(H, W)``, indexed [y, x], float64 in [0, 1).
        box: The ship's, or ``None``.
        lines: ``(K, 4)``, whole pixels: x, y of one end, x, y of the other.
    """

    image: NDArray[np.float64]
    box: RotatedBox | None
    lines: NDArray[np.int64]


def make_data(
    has_spaceship: bool | None = None, noise_level: float = 0.8, no_lines: int = 6, image_size: int = 200
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The official generator: draws from ``numpy.random``'s global stream (``numpy.random.seed`` makes it repeatable).

    Args:
        has_spaceship: Whether there is a ship; ``None``: in 80 % of the calls.
        noise_level: The background is uniform in [0, noise_level).
        no_lines: Number of distracting lines.
        image_size: Side of the square image in pixels, at least 200.

    Returns:
        The image ``(image_size, image_size)``, indexed [y, x], float64 in [0, 1), and the label
        ``(x, y, yaw, width, height)``, five NaN without a ship. (Only a noise_level above 1 takes pixels above 1.)

    Raises:
        ValueError: If an argument is out of range.
    """
    image, box, _ = draw_scene(
        np.random,
        has_spaceship=has_spaceship,
        noise_level=noise_level,
        num_lines=no_lines,
        image_size=image_size,
    )
    return image, np.full(5, np.nan) if box is None else box.to_array()


def benchmark_scenes(
    seed: int, count: int, *, noise_level: float = 0.8, num_lines: int = 6
) -> Iterator[tuple[NDArray[np.float64], RotatedBox | None]]:
    """The samples of an official evaluation: ``numpy.random.seed(seed)``, then ``count`` calls of ``make_data``.

    The global stream is left alone: the same stream is drawn from a state of its own.

    Args:
        seed: One of numpy's, 0 to 2^32 - 1.
        count: Number of samples.
        noise_level: As in ``make_data``; the official score is on the default.
        num_lines: The same.

    Raises:
        ValueError: When the first sample is asked for, if an argument is out of range.
    """
    for scene in draw_benchmark(seed, count, noise_level=noise_level, num_lines=num_lines):
        yield scene.image, scene.box


def draw_benchmark(seed: int, count: int, *, noise_level: float = 0.8, num_lines: int = 6) -> Iterator[Scene]:
    """As ``benchmark_scenes``, with the lines."""
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must lie in 0..{2**32 - 1}, got {seed}")
    rng = np.random.RandomState(seed)
    for _ in range(count):
        yield draw_scene(rng, noise_level=noise_level, num_lines=num_lines)


def draw_scene(
    rng: np.random.RandomState | ModuleType,
    *,
    has_spaceship: bool | None = None,
    noise_level: float = 0.8,
    num_lines: int = 6,
    image_size: int = 200,
) -> Scene:
    """One scene from a random state, or from ``numpy.random`` itself; arguments and errors as in ``make_data``."""
    _check(noise_level=noise_level, num_lines=num_lines, image_size=image_size)
    if has_spaceship is None:
        has_spaceship = rng.choice([True, False], p=(0.8, 0.2))
    ship, lines = np.zeros((2, image_size, image_size))  # both indexed [x, y] until the very end
    box = None
    if has_spaceship:
        box, notch = _draw_ship(rng, image_size)
        pixels = polygon_perimeter(*outline(box.to_array()[None], np.array([notch]))[0].T, shape=ship.shape)
        ship[pixels] = rng.rand(len(pixels[0]))
    ends = np.zeros((num_lines, 4), dtype=np.int64)
    for index in range(num_lines):
        ends[index] = rng.randint(0, LINE_RANGE, size=4)
        pixels = line(*ends[index])
        lines[pixels] = rng.rand(len(pixels[0]))
    noise = noise_level * rng.rand(image_size, image_size)
    return Scene(image=np.maximum(np.maximum(noise, lines), ship).T, box=box, lines=ends)


def _draw_ship(rng: np.random.RandomState | ModuleType, image_size: int) -> tuple[RotatedBox, float]:
    """Draws a box and its notch, in the order of the official generator."""
    x, y = rng.randint(MARGIN, image_size - MARGIN, size=2).tolist()
    yaw = rng.rand() * 2 * math.pi
    width = rng.randint(*WIDTHS)
    height = width * abs(rng.normal(*RATIO))
    notch = abs(rng.normal(*NOTCH))
    return RotatedBox(x=float(x), y=float(y), yaw=yaw, width=float(width), height=height), notch


def outline(boxes: NDArray[np.float64], notch: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vertices nose, left, notch, right of ships: boxes ``(N, 5)``, notch ``(N,)`` -> ``(N, 4, 2)`` as (x, y)."""
    width, height, zero = boxes[:, 3], boxes[:, 4], np.zeros(len(boxes))
    across = np.stack([zero, -width / 2, zero, width / 2], axis=1)
    along = np.stack([height, zero, notch * height, zero], axis=1) - height[:, None] / 2
    return box_to_image(boxes, np.stack([across, along], axis=-1))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenesConfig:
    """The law of the scenes; defaults as in the official generator.

    Attributes:
        noise_level: The background is uniform in [0, noise_level).
        num_lines: Number of distracting lines.
        image_size: Side of the square scene in pixels, at least 200.
        ship_probability: Fraction of scenes with a ship.
    """

    noise_level: float = 0.8
    num_lines: int = 6
    image_size: int = 200
    ship_probability: float = 0.8

    def __post_init__(self) -> None:
        _check(noise_level=self.noise_level, num_lines=self.num_lines, image_size=self.image_size)
        if self.noise_level > 1 or not 0 <= self.ship_probability <= 1:
            raise ValueError(f"noise_level and ship_probability must lie in [0, 1], got {self}")


class SyntheticScenes:
    """An endless, repeatable series of ``(image, box or None)`` with a random state of its own.

    Scene ``i`` depends on ``(seed, i)`` alone, so workers share a series by taking every n-th scene of it.

    Args:
        seed: Names the series, >= 0. No series repeats scenes of another, nor of ``make_data``.
        first: Index at which iteration starts.
        step: Distance between the indices that iteration takes; worker k of n: ``first=k, step=n``.
        config: The law of the scenes.
    """

    def __init__(self, seed: int, *, first: int = 0, step: int = 1, config: ScenesConfig | None = None) -> None:
        if seed < 0 or first < 0 or step < 1:
            raise ValueError(f"scenes need seed >= 0, first >= 0 and step >= 1, got {seed}, {first} and {step}")
        self.seed, self.first, self.step, self.config = seed, first, step, config or ScenesConfig()

    def __iter__(self) -> Iterator[tuple[NDArray[np.float64], RotatedBox | None]]:
        index = self.first
        while True:
            yield self[index]
            index += self.step

    def __getitem__(self, index: int) -> tuple[NDArray[np.float64], RotatedBox | None]:
        """Returns scene ``index`` >= 0 of the series, whatever was drawn before."""
        rng = np.random.RandomState(np.random.PCG64((self.seed, index)))
        image, box, _ = draw_scene(
            rng,
            has_spaceship=rng.rand() < self.config.ship_probability,
            noise_level=self.config.noise_level,
            num_lines=self.config.num_lines,
            image_size=self.config.image_size,
        )
        return image, box


def _check(*, noise_level: float, num_lines: int, image_size: int) -> None:
    if not 0 <= noise_level < math.inf:
        raise ValueError(f"noise_level must be at least 0 and finite, got {noise_level}")
    if not isinstance(num_lines, int | np.integer) or num_lines < 0:
        raise ValueError(f"no_lines must be a whole number of at least 0, got {num_lines}")
    if not isinstance(image_size, int | np.integer) or image_size < LINE_RANGE:
        raise ValueError(
            f"image_size must be at least {LINE_RANGE}, a whole number (lines span {LINE_RANGE} px), got {image_size}"
        )
