"""The task's scenes as whole batches on a torch device: the law of ``scenes``, at the speed that training needs.

The few numbers that describe a scene are drawn with numpy; lines, outlines and noise are drawn on the device, all scenes
at once. Lines follow the closed form of Bresenham's algorithm, pixel for pixel as ``skimage.draw.line``. Only the window
of a scene that is asked for is ever drawn.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from centerdet.maps import Batch
from centerdet.scenes import LINE_RANGE, MARGIN, NOTCH, RATIO, WIDTHS, ScenesConfig, outline


class SceneBatches:
    """A repeatable series of training batches: batch ``step`` depends on ``(seed, step)`` alone.

    Args:
        seed: Names the series, >= 0. No scene of it is one of ``make_data`` or ``Scenes``.
        batch_size: Scenes in a batch.
        window: Side in pixels of a square window of each scene, with the ship (as far as it is in the scene) in it;
            ``None``: whole scenes.
        config: The law of the scenes.
        device: Where to draw them.
    """

    def __init__(
        self,
        seed: int,
        *,
        batch_size: int,
        window: int | None = None,
        config: ScenesConfig | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config = config or ScenesConfig()
        self.window = window or self.config.image_size
        if not 64 <= self.window <= self.config.image_size:
            raise ValueError(f"window must lie in 64..{self.config.image_size} (image_size), got {window}")
        self.seed, self.batch_size, self.device = seed, batch_size, torch.device(device)

    def __getitem__(self, step: int) -> Batch:
        """Draws batch ``step`` >= 0."""
        config, count = self.config, self.batch_size
        random = np.random.Generator(np.random.SFC64((self.seed, step)))
        intensities = torch.Generator(self.device).manual_seed(int(random.integers(2**63)))
        present = random.random(count) < config.ship_probability
        boxes = _draw_boxes(random, count, config.image_size)
        vertices = outline(boxes, np.abs(random.normal(*NOTCH, count)))  # (B, 4, 2)
        corner = self._place_windows(random, vertices, present)  # (B, 2)
        lines = random.integers(0, LINE_RANGE, (count, config.no_lines, 2, 2))
        edges = np.stack([vertices, np.roll(vertices, -1, axis=1)], axis=2).round().astype(np.int64)  # (B, 4, 2, 2)

        shape = (count, self.window, self.window)
        images = torch.rand(shape, generator=intensities, device=self.device) * config.noise_level
        for segments, where in ((lines, None), (edges, present)):
            self._draw(images, segments - corner[:, None, None], where, intensities)
        boxes[:, :2] -= corner
        boxes[~present] = 0
        return Batch(
            images=images[:, None],
            boxes=torch.from_numpy(boxes).float().to(self.device),
            present=torch.from_numpy(present).to(self.device),
        )

    def _place_windows(self, random: np.random.Generator, vertices: NDArray, present: NDArray) -> NDArray:
        """Top left corners ``(B, 2)`` of windows, uniform among those that hold the visible part of the ship."""
        room = self.config.image_size - self.window
        low = np.ceil(vertices.max(axis=1)).clip(max=self.config.image_size - 1) - (self.window - 1)
        high = np.floor(vertices.min(axis=1)).clip(min=0)
        low, high = np.where(present[:, None], np.stack([low, high]), np.array([0, room])[:, None, None])
        low, high = low.clip(0, room), high.clip(0, room)
        return (low + np.floor(random.random(low.shape) * (high - low + 1))).astype(np.int64)

    def _draw(self, images: Tensor, segments: NDArray, where: NDArray | None, intensities: torch.Generator) -> None:
        """Brightens, in place, the pixels of segments ``(B, K, 2, 2)`` (ends, then x and y) to uniform values."""
        x, y, valid = rasterise(torch.from_numpy(segments).to(self.device, torch.int32))  # each (B, K, M)
        valid &= (x >= 0) & (x < self.window) & (y >= 0) & (y < self.window)
        if where is not None:
            valid &= torch.from_numpy(where).to(self.device)[:, None, None]
        scene = torch.arange(len(images), device=self.device, dtype=torch.int32)[:, None, None]
        pixels = ((scene * self.window + y) * self.window + x)[valid].long()
        covered = torch.zeros(images.numel(), dtype=torch.bool, device=self.device)
        covered[pixels] = True  # a pixel drawn twice keeps one uniform value, as in the official generator
        pixels = covered.nonzero().squeeze(1)
        values = torch.rand(len(pixels), generator=intensities, device=self.device)
        flat = images.view(-1)
        flat[pixels] = torch.maximum(flat[pixels], values)


def rasterise(segments: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels of line segments, as ``skimage.draw.line(x0, y0, x1, y1)`` draws them.

    After i steps along the longer axis (length n), Bresenham's line has made ``(2 m i + n) // (2 n)`` steps along the
    shorter one (length m).

    Args:
        segments: ``(B, K, 2, 2)`` integers: start and end, x and y.

    Returns:
        x, y and whether there is such a pixel, each ``(B, K, M)`` with M the longest segment's number of pixels.
    """
    start, end = segments.unbind(2)  # each (B, K, 2)
    extent, direction = (end - start).abs(), (end - start).sign()
    longer, shorter = extent.amax(-1, keepdim=True), extent.amin(-1, keepdim=True)  # each (B, K, 1)
    along = torch.arange(int(longer.max()) + 1 if longer.numel() else 0, device=segments.device, dtype=segments.dtype)
    aside = (2 * shorter * along + longer) // (2 * longer).clamp(min=1)  # (B, K, M)
    steep = (extent[..., :1] > extent[..., 1:])  # as skimage: x leads where it is strictly longer
    x = start[..., :1] + direction[..., :1] * torch.where(steep, along, aside)
    y = start[..., 1:] + direction[..., 1:] * torch.where(steep, aside, along)
    return x, y, along <= longer


def _draw_boxes(random: np.random.Generator, count: int, image_size: int) -> NDArray[np.float64]:
    """Boxes ``(B, 5)`` by the law of the official generator."""
    width = random.integers(*WIDTHS, count).astype(np.float64)
    return np.stack(
        [
            *random.integers(MARGIN, image_size - MARGIN, (2, count)),
            random.random(count) * 2 * math.pi,
            width,
            width * np.abs(random.normal(*RATIO, count)),
        ],
        axis=1,
    )
