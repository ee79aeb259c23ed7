"""The task's synthetic scenes, one by one: a noisy image, some lines, and at most one arrow-shaped ship.

* ``make_data`` is the task's generator, bit for bit, on numpy's global stream.
* ``SyntheticScenes`` draws from the same distribution: scene ``i`` depends on ``(seed, i)`` alone.

For training, ``batches`` draws whole batches from the same distribution on a torch device.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from skimage.draw import line

from centerdet.box import RotatedBox
from centerdet.synthetic.ship import draw_ship, outline

LINE_RANGE = 200  # px: lines end within the first 200 pixels of both axes, for every image size
MAX_LINES, MAX_IMAGE_SIZE = 1000, 10_000  # of a config's scenes; the latter in px
SHIP_PROBABILITY = 0.8  # fraction of the generator's scenes with a ship


class Scene(NamedTuple):
    """A scene and its labels.

    Attributes:
        image: ``(H, W)``, indexed [y, x], float64 in [0, 1).
        box: The box of the ship, or ``None``.
        lines: ``(K, 4)`` integers in px: x, y of one end and x, y of the other.
    """

    image: NDArray[np.float64]
    box: RotatedBox | None
    lines: NDArray[np.int64]


def make_data(
    has_spaceship: bool | None = None, noise_level: float = 0.8, no_lines: int = 6, image_size: int = 200
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draws a scene from ``numpy.random``'s global stream, as the task's generator does.

    ``numpy.random.seed`` makes the scenes repeatable.

    Args:
        has_spaceship: Whether the scene has a ship; ``None``: with a probability of 0.8.
        noise_level: Upper bound of the background, which is uniform in [0, noise_level). A bound above 1 is allowed;
            pixels then exceed 1.
        no_lines: Number of distracting lines.
        image_size: Side of the square image in px, at least 200.

    Returns:
        The image ``(image_size, image_size)``, indexed [y, x], float64 in [0, 1), and the label
        ``(x, y, yaw, width, height)`` in px and rad, five NaN without a ship.

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
    """Yields the scenes of the task's evaluation: ``numpy.random.seed(seed)``, then ``count`` calls of ``make_data``.

    The scenes come from a separate random state; the global stream stays as it is.

    Args:
        seed: Seed of numpy, 0 to 2^32 - 1.
        count: Number of scenes.
        noise_level: As in ``make_data``; the task's score uses the default.
        num_lines: As ``no_lines`` in ``make_data``; the task's score uses the default.

    Raises:
        ValueError: At the first scene, if an argument is out of range.
    """
    for scene in draw_benchmark(seed, count, noise_level=noise_level, num_lines=num_lines):
        yield scene.image, scene.box


def draw_benchmark(seed: int, count: int, *, noise_level: float = 0.8, num_lines: int = 6) -> Iterator[Scene]:
    """Yields the same scenes as ``benchmark_scenes``, with their lines."""
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
    """Draws a scene from a random state or the module ``numpy.random``; arguments and errors as in ``make_data``."""
    _check(noise_level=noise_level, num_lines=num_lines, image_size=image_size)
    if has_spaceship is None:
        has_spaceship = rng.choice([True, False], p=(SHIP_PROBABILITY, 1 - SHIP_PROBABILITY))
    box, layers = None, []  # layers: pixels x, y and their values
    if has_spaceship:
        box, notch = draw_ship(rng, image_size)
        x, y = _perimeter(outline(box.to_array()[None], np.array([notch]))[0], image_size)
        layers.append((x, y, rng.rand(len(x))))
    ends = np.zeros((num_lines, 4), dtype=np.int64)
    strokes = []
    for index in range(num_lines):
        ends[index] = rng.randint(0, LINE_RANGE, size=4)
        x, y = line(*ends[index])
        strokes.append((x, y, rng.rand(len(x))))
    if strokes:
        x, y, values = (np.concatenate(part) for part in zip(*strokes, strict=True))
        layers.append((x, y, values))
    image = rng.rand(image_size, image_size)  # indexed [x, y]
    image *= noise_level
    for x, y, values in layers:
        _overlay(image, x, y, values)
    return Scene(image=image.T, box=box, lines=ends)


def _perimeter(vertices: NDArray[np.float64], size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixels x, y of a polygon's edges in an image: those of ``skimage.draw.polygon_perimeter``, but sooner.

    Pixels of vertices come twice.
    """
    corners = np.round(vertices).astype(np.int64).tolist()
    edges = [line(*start, *end) for start, end in zip(corners, [*corners[1:], corners[0]], strict=True)]
    x, y = np.concatenate(edges, axis=1)
    inside = (x >= 0) & (x < size) & (y >= 0) & (y < size)
    return x[inside], y[inside]


def _overlay(image: NDArray[np.float64], x: NDArray[np.int64], y: NDArray[np.int64], values: NDArray) -> None:
    """Sets pixels to values where these are higher; of several values of a pixel, the last one counts."""
    flat, places = image.reshape(-1), x * len(image) + y
    last = np.empty_like(flat)
    last[places] = values
    flat[places] = np.maximum(flat[places], last[places])


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenesConfig:
    """Distribution of the scenes; the defaults are those of the task's generator.

    Attributes:
        noise_level: Upper bound of the background, which is uniform in [0, noise_level); in [0, 1].
        num_lines: Number of distracting lines.
        image_size: Side of the square scene in px, from 200 to 10,000.
        ship_probability: Fraction of scenes with a ship.

    Raises:
        ValueError: If a setting is out of range.
    """

    noise_level: float = 0.8
    num_lines: int = 6
    image_size: int = 200
    ship_probability: float = SHIP_PROBABILITY

    def __post_init__(self) -> None:
        _check(noise_level=self.noise_level, num_lines=self.num_lines, image_size=self.image_size)
        if self.num_lines > MAX_LINES or self.image_size > MAX_IMAGE_SIZE:
            raise ValueError(f"num_lines must be at most {MAX_LINES}, image_size {MAX_IMAGE_SIZE} px, got {self}")
        if self.noise_level > 1 or not 0 <= self.ship_probability <= 1:
            raise ValueError(f"noise_level and ship_probability must lie in [0, 1], got {self}")


class SyntheticScenes:
    """An endless, repeatable series of ``(image, box or None)`` that leaves numpy's global stream as it is.

    Scene ``i`` depends on ``(seed, i)`` alone, so that workers can share a series: each takes every n-th scene.

    Args:
        seed: Seed of the series, at least 0. No two series share a scene, and none has one of ``make_data``.
        first: Index at which iteration starts.
        step: Distance between the indices of an iteration; worker k of n has ``first=k, step=n``.
        config: Distribution of the scenes.

    Raises:
        ValueError: If a number is out of range.
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
        """Returns scene ``index`` of the series, at least 0."""
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
        raise ValueError(f"num_lines (make_data: no_lines) must be a whole number of at least 0, got {num_lines}")
    if not isinstance(image_size, int | np.integer) or image_size < LINE_RANGE:
        raise ValueError(f"image_size must be at least {LINE_RANGE} px and a whole number, got {image_size}")
