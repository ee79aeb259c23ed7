"""Training batches of crops, from scenes of any source: a data set, a function that draws a scene, or an iterable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from centerdet.box import RotatedBox
from centerdet.cropping import check_batch_size, check_phase_ends, crop_bounds
from centerdet.data.augment import Augmentation
from centerdet.model.batch_series import BatchSeries, make_batch
from centerdet.model.types import Batch
from centerdet.preprocessing import MIN_SIDE, to_unit_range

Scene = tuple[ArrayLike, RotatedBox | None]
SceneSource = Sequence[Scene] | Callable[[np.random.Generator], Scene] | Iterable[Scene]


@dataclass(frozen=True, slots=True, kw_only=True)
class CropPhase:
    """A part of training with crops of one size.

    Attributes:
        end_fraction: End of the phase, as a fraction of all steps, in (0, 1].
        crop_size: Side of the square crops, px, at least 64.

    Raises:
        ValueError: If a setting is out of range.
    """

    end_fraction: float = 1.0
    crop_size: int = 128

    def __post_init__(self) -> None:
        if self.crop_size < MIN_SIDE:
            raise ValueError(f"crop_size must be at least {MIN_SIDE}, got {self.crop_size}")


class CropBatches(BatchSeries):
    """A series of training batches: random crops of scenes, with the object's centre inside if there is an object.

    Batch ``step`` depends on ``(seed, step)`` alone, unless the scenes come from an iterable.

    Args:
        scenes: One of: a sequence, from which scenes are drawn at random; a function that draws a scene with the
            ``numpy.random.Generator`` that it receives; an iterable, used in order and again from its start. A scene is
            an image ``(H, W)`` and a ``RotatedBox`` or ``None``.
        seed: Seed of the series.
        steps: Number of batches.
        batch_size: Number of crops in a batch.
        crop_size: Side of the square crops, px, at least 64, or one for each phase of the series. A smaller image is
            used whole, as a detector sees it; if a batch has crops of several sizes, the smaller ones are padded with
            zeros.
        augmentation: Change of each scene before it is cropped.
        intensity_range: As in ``preprocessing.to_unit_range``.

    Raises:
        ValueError: If there are no scenes, or a number is out of range; later, at the batch of a scene that is not an
            image with a box or ``None``.
    """

    def __init__(
        self,
        scenes: SceneSource,
        *,
        seed: int,
        steps: int,
        batch_size: int = 16,
        crop_size: int | Sequence[CropPhase] = 128,
        augmentation: Augmentation | None = None,
        intensity_range: tuple[float, float] | None = None,
    ) -> None:
        check_batch_size(batch_size)
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        if isinstance(scenes, Sequence) and not len(scenes):
            raise ValueError("training needs at least one scene, got none")
        super().__init__(seed, steps)
        self.scenes, self.batch_size = scenes, batch_size
        self.phases = (CropPhase(crop_size=crop_size),) if isinstance(crop_size, int) else tuple(crop_size)
        check_phase_ends([phase.end_fraction for phase in self.phases])
        self.augmentation, self.intensity_range = augmentation, intensity_range
        self._iterator: Iterator[Scene] = iter(())

    def _draw_batch(self, rng: np.random.Generator, place: float) -> Batch:
        size = next(phase.crop_size for phase in self.phases if place < phase.end_fraction * self.steps)
        images, boxes = zip(*(self._crop(self._draw(rng), size, rng) for _ in range(self.batch_size)), strict=True)
        shape = np.max([image.shape for image in images], axis=0)
        return make_batch([np.pad(image, [(0, side) for side in shape - image.shape]) for image in images], boxes)

    def _crop(
        self, scene: Scene, crop_size: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], RotatedBox | None]:
        pixels, box = _check_scene(scene)
        image = to_unit_range(pixels, self.intensity_range)
        if self.augmentation is not None:
            image, box = self.augmentation(image, box, rng)
        return crop_around(image, box, crop_size, rng)

    def _draw(self, rng: np.random.Generator) -> Scene:
        if isinstance(self.scenes, Sequence):
            return self.scenes[int(rng.integers(len(self.scenes)))]
        if callable(self.scenes):
            return self.scenes(rng)
        for scene in self._iterator:
            return scene
        self._iterator = iter(self.scenes)
        for scene in self._iterator:
            return scene
        raise ValueError(
            "training needs more scenes: the iterable has ended, and is empty when it is started again; "
            "give a list, or a function that draws a scene"
        )


def _check_scene(scene: Any) -> Scene:
    if not isinstance(scene, Sequence) or len(scene) != 2 or not isinstance(scene[1], RotatedBox | None):
        kinds = [type(part).__name__ for part in scene] if isinstance(scene, Sequence) else type(scene).__name__
        raise ValueError(
            f"a scene is an image and a RotatedBox (or None), got {kinds}; RotatedBox.from_array takes five numbers"
        )
    image, box = scene
    return image, box


def crop_around(
    image: NDArray[np.float32], box: RotatedBox | None, crop_size: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], RotatedBox | None]:
    """Cuts a random square crop that holds the object.

    The crop holds the part of the object that is in the image; of a larger object, at least its centre.

    Args:
        image: ``(H, W)``.
        box: The object's box, or ``None``.
        crop_size: Side of the crop, px; the crop is smaller where the image is.
        rng: The source of randomness.

    Returns:
        The crop, and the box in the crop's coordinates.
    """
    image_size = np.array(image.shape[::-1])  # x and y from here on
    width, height = crop = np.minimum(image_size, crop_size)
    low, high = np.zeros_like(crop), image_size - crop
    if box is not None:
        low, high = crop_bounds(box.corners(), image_size=image_size, crop_size=crop, center=(box.x, box.y))
    left, top = rng.integers(low, high + 1).tolist()
    cut = image[top : top + height, left : left + width].copy()  # a view would keep the whole image
    return cut, box and RotatedBox(box.x - left, box.y - top, box.yaw, box.width, box.height)
