"""Draws whole batches of the task's scenes on a torch device: the distribution of ``scenes``, but faster.

Numpy draws the few numbers that describe a scene. The device draws noise, lines and outlines, for all scenes of a batch
at once (``raster``), and only the crop of each scene that the batch needs.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from centerdet.cropping import crop_bounds
from centerdet.model.types import Batch
from centerdet.synthetic.raster import draw_uniform, overlay, rasterise
from centerdet.synthetic.scenes import LINE_RANGE, ScenesConfig
from centerdet.synthetic.ship import draw_ships, outline


def draw_batch(
    rng: np.random.Generator,
    count: int,
    *,
    scenes: ScenesConfig,
    crop_size: int | None = None,
    device: torch.device | str = "cpu",
) -> Batch:
    """Draws ``count`` scenes, or square crops of ``crop_size`` px of them, on a device."""
    crop_size = crop_size or scenes.image_size
    has_object = rng.random(count) < scenes.ship_probability
    boxes, notch = draw_ships(rng, count, scenes.image_size)
    vertices = outline(boxes, notch)  # (B, 4, 2)
    lines = rng.integers(0, LINE_RANGE, (scenes.num_lines, count, 2, 2))
    corner = _place_crops(rng, vertices, has_object, scenes.image_size, crop_size)  # (B, 2)

    starts = vertices.round().astype(np.int64).swapaxes(0, 1)  # (4, B, 2)
    edges = np.stack([starts, np.roll(starts, -1, axis=0)], axis=2)  # (4, B, 2, 2)
    images = _draw_images(rng, lines - corner[:, None], edges - corner[:, None], has_object, scenes, crop_size, device)
    boxes[:, :2] -= corner
    boxes[~has_object] = 0
    return Batch(
        images=images,
        boxes=torch.from_numpy(boxes).float().to(device),
        has_object=torch.from_numpy(has_object).to(device),
    )


def _place_crops(
    rng: np.random.Generator,
    vertices: NDArray[np.float64],
    has_object: NDArray[np.bool_],
    image_size: int,
    crop_size: int,
) -> NDArray[np.int64]:
    """Draws top left corners ``(B, 2)`` of crops, uniform among those whose crops hold the ship (``crop_bounds``)."""
    room = image_size - crop_size
    if not room:
        return np.zeros((len(has_object), 2), dtype=np.int64)
    low, high = crop_bounds(vertices, image_size=image_size, crop_size=crop_size)  # each (B, 2)
    low, high = np.where(has_object[:, None], low, 0), np.where(has_object[:, None], high, room)
    return low + np.floor(rng.random(low.shape) * (high - low + 1)).astype(np.int64)


def _draw_images(
    rng: np.random.Generator,
    lines: NDArray[np.int64],
    edges: NDArray[np.int64],
    has_object: NDArray[np.bool_],
    scenes: ScenesConfig,
    crop_size: int,
    device: torch.device | str,
) -> Tensor:
    """Draws noise, lines ``(K, B, 2, 2)`` and the edges of ships ``(4, B, 2, 2)`` as ``(B, 1, crop_size, crop_size)``.

    As in the task's generator, the lines and the ship are two layers over the noise, and each pixel has the brightest
    of the three. Within a layer, a later segment replaces an earlier one.
    """
    size = len(has_object) * crop_size**2
    pixels = draw_uniform(rng, size + 1, high=scenes.noise_level, device=device)  # the last pixel is in no image
    drawn = np.concatenate([np.ones(lines.shape[:2], dtype=bool), np.broadcast_to(has_object, edges.shape[:2])])
    places, lengths = _pixel_indices(np.concatenate([lines, edges]), drawn, crop_size, device)
    values = draw_uniform(rng, len(places), device=device)
    for layer in (lengths[: len(lines)], lengths[len(lines) :]):
        overlay(pixels, places[: sum(layer)], values[: sum(layer)], layer)
        places, values = places[sum(layer) :], values[sum(layer) :]
    return pixels[:size].view(-1, 1, crop_size, crop_size)


def _pixel_indices(
    segments: NDArray[np.int64], drawn: NDArray[np.bool_], crop_size: int, device: torch.device | str
) -> tuple[Tensor, list[int]]:
    """Returns the pixels of the segments, as indices into a batch of flattened images.

    Args:
        segments: ``(S, B, 2, 2)`` start and end, x and y in px of the crop, S segments for each of B images.
        drawn: ``(S, B)``, which segments to draw.
        crop_size: Side of the images in px.
        device: Where to compute the pixels.

    Returns:
        ``(T,)`` indices; those of pixels outside their image are ``B * crop_size**2``. And S numbers of pixels, each
        for one segment of all images.
    """
    count, area = segments.shape[1], crop_size**2
    position, segment, lengths = rasterise(segments.reshape(-1, 2, 2), drawn.ravel(), device=device)  # (2, T), (T,)
    middle = (crop_size - 1) / 2
    outside = (position - middle).abs_().amax(0) > middle  # (T,)
    first_pixel = torch.from_numpy(np.arange(drawn.size) % count * area).to(device)  # (S * B,): of each one's image
    places = torch.add(position[0], position[1], alpha=crop_size).long() + first_pixel.index_select(0, segment)
    return places.masked_fill_(outside, count * area), lengths.reshape(-1, count).sum(axis=1).tolist()
