"""The task's scenes as whole batches on a torch device: the law of ``scenes``, at the speed that training needs.

The few numbers that describe a scene are drawn with numpy; noise, lines and outlines are drawn on the device, all
scenes at once (``raster``). Only the window of a scene that is asked for is ever drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from centerdet.cropping import crop_bounds
from centerdet.model.types import Batch
from centerdet.preprocessing import MIN_SIDE
from centerdet.synthetic.raster import draw_uniform, overlay, rasterise
from centerdet.synthetic.scenes import LINE_RANGE, MARGIN, NOTCH, RATIO, WIDTHS, ScenesConfig, outline


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A stretch of training on easier or cheaper scenes.

    Attributes:
        end_fraction: Where it ends, as a fraction of all steps.
        crop_size: Side in pixels of the square window of each scene that is drawn, with the ship (as far as it is in the
            scene) in it; ``None``: whole scenes.
        num_lines: Number of lines in a scene; ``None``: as in the scenes' config.
    """

    end_fraction: float = 1.0
    crop_size: int | None = None
    num_lines: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.end_fraction <= 1:
            raise ValueError(f"a phase must end within (0, 1], got until {self.end_fraction}")
        if self.num_lines is not None and self.num_lines < 0:
            raise ValueError(f"no_lines must be at least 0 or null, got {self.num_lines}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CurriculumConfig:
    """How scenes become training batches.

    Attributes:
        batch_size: Scenes in a batch.
        ship_probability: Fraction of training scenes with a ship.
        phases: One after the other; the last one ends at 1.
    """

    batch_size: int = 16
    ship_probability: float = 0.9
    phases: tuple[Phase, ...] = (Phase(),)

    def __post_init__(self) -> None:
        ends = [phase.end_fraction for phase in self.phases]
        if self.batch_size < 1 or not 0 <= self.ship_probability <= 1:
            raise ValueError(f"batch_size must be at least 1, ship_probability in [0, 1], got {self}")
        if not ends or ends[-1] != 1 or ends != sorted(set(ends)):
            raise ValueError(f"phases must end at growing fractions of the steps, the last at 1, got {ends}")


class SyntheticBatches:
    """A repeatable series of training batches: batch ``step`` depends on ``(seed, step)`` and the config alone.

    Args:
        seed: Names the series, >= 0. No scene of it is one of ``make_data`` or ``SyntheticScenes``.
        steps: Length of the series.
        scenes: The law of the scenes.
        curriculum: Batch size and phases.
        device: Where to draw them.
    """

    def __init__(
        self,
        seed: int,
        *,
        steps: int,
        scenes: ScenesConfig | None = None,
        curriculum: CurriculumConfig | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.seed, self.steps, self.device = seed, steps, torch.device(device)
        self.curriculum = curriculum or CurriculumConfig()
        self.scenes = replace(scenes or ScenesConfig(), ship_probability=self.curriculum.ship_probability)
        for phase in self.curriculum.phases:
            if phase.crop_size is not None and not MIN_SIDE <= phase.crop_size <= self.scenes.image_size:
                raise ValueError(f"window must lie in {MIN_SIDE}..{self.scenes.image_size}, got {phase.crop_size}")

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Batch:
        """Draws batch ``step``, from 0 to ``len - 1``."""
        if not 0 <= step < self.steps:
            raise IndexError(f"step must lie in 0..{self.steps - 1}, got {step}")
        phase = next(phase for phase in self.curriculum.phases if step < phase.end_fraction * self.steps)
        scenes = self.scenes if phase.num_lines is None else replace(self.scenes, num_lines=phase.num_lines)
        rng = np.random.Generator(np.random.SFC64((self.seed, step)))
        return draw_batch(rng, self.curriculum.batch_size, scenes=scenes, crop_size=phase.crop_size, device=self.device)


def draw_batch(
    rng: np.random.Generator,
    count: int,
    *,
    scenes: ScenesConfig,
    crop_size: int | None = None,
    device: torch.device | str = "cpu",
) -> Batch:
    """Draws ``count`` scenes, or square windows of side ``crop_size`` px of them, on a device."""
    crop_size = crop_size or scenes.image_size
    has_object = rng.random(count) < scenes.ship_probability
    boxes = _draw_boxes(rng, count, scenes.image_size)
    vertices = outline(boxes, np.abs(rng.normal(*NOTCH, count)))  # (B, 4, 2)
    lines = rng.integers(0, LINE_RANGE, (scenes.num_lines, count, 2, 2))
    corner = _place_crops(rng, vertices, has_object, scenes.image_size, crop_size)  # (B, 2)

    corners = vertices.round().astype(np.int64).swapaxes(0, 1)  # (4, B, 2)
    edges = np.stack([corners, np.roll(corners, -1, axis=0)], axis=2)  # (4, B, 2, 2)
    images = _draw_images(rng, lines - corner[:, None], edges - corner[:, None], has_object, scenes, crop_size, device)
    boxes[:, :2] -= corner
    boxes[~has_object] = 0
    return Batch(
        images=images,
        boxes=torch.from_numpy(boxes).float().to(device),
        has_object=torch.from_numpy(has_object).to(device),
    )


def _draw_images(
    rng: np.random.Generator,
    lines: NDArray[np.int64],
    edges: NDArray[np.int64],
    has_object: NDArray[np.bool_],
    scenes: ScenesConfig,
    crop_size: int,
    device: torch.device | str,
) -> Tensor:
    """Noise, lines ``(K, B, 2, 2)`` and, where present, edges of ships ``(4, B, 2, 2)`` -> ``(B, 1, crop_size, crop_size)``.

    As in the official generator, lines and ship are two layers over the noise, of which the brightest counts. Within
    each, a later stroke replaces an earlier one.
    """
    count, size = len(has_object), len(has_object) * crop_size**2
    pixels = draw_uniform(rng, size + 1, high=scenes.noise_level, device=device)  # the last one is in no image

    segments = np.concatenate([lines, edges]).reshape(-1, 2, 2)
    wanted = np.concatenate([np.ones(lines.shape[:2], dtype=bool), np.broadcast_to(has_object, edges.shape[:2])])
    position, segment, lengths = rasterise(segments, wanted.ravel(), device=device)  # (2, T), (T,), (S,)
    middle = (crop_size - 1) / 2
    outside = (position - middle).abs_().amax(0) > middle
    first = torch.from_numpy(np.arange(len(segments)) % count * crop_size**2).to(
        device
    )  # pixel of each segment's scene
    places = torch.add(position[0], position[1], alpha=crop_size).long() + first.index_select(0, segment)
    places.masked_fill_(outside, size)
    values = draw_uniform(rng, len(places), device=device)
    strokes = lengths.reshape(-1, count).sum(axis=1).tolist()
    for layer in (strokes[: len(lines)], strokes[len(lines) :]):
        overlay(pixels, places[: sum(layer)], values[: sum(layer)], layer)
        places, values = places[sum(layer) :], values[sum(layer) :]
    return pixels[:size].view(-1, 1, crop_size, crop_size)


def _place_crops(
    rng: np.random.Generator, vertices: NDArray, has_object: NDArray, image_size: int, crop_size: int
) -> NDArray[np.int64]:
    """Top left corners ``(B, 2)`` of windows, uniform among those that hold the visible part of the ship.

    A ship that is larger than the window is cut on either side.
    """
    room = image_size - crop_size
    if not room:
        return np.zeros((len(has_object), 2), dtype=np.int64)
    low, high = crop_bounds(vertices, image_size=image_size, crop_size=crop_size)  # each (B, 2)
    low, high = np.where(has_object[:, None], low, 0), np.where(has_object[:, None], high, room)
    return low + np.floor(rng.random(low.shape) * (high - low + 1)).astype(np.int64)


def _draw_boxes(rng: np.random.Generator, count: int, image_size: int) -> NDArray[np.float64]:
    """Boxes ``(B, 5)`` by the law of the official generator."""
    width = rng.integers(*WIDTHS, count).astype(np.float64)
    return np.stack(
        [
            *rng.integers(MARGIN, image_size - MARGIN, (2, count)),
            rng.random(count) * 2 * math.pi,
            width,
            width * np.abs(rng.normal(*RATIO, count)),
        ],
        axis=1,
    )
