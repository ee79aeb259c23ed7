"""Augmentation: other images of the same objects, by albumentations, with boxes that are moved exactly.

A box's corners are moved as points, so that its heading goes the same way as the picture, under mirroring too.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from centerdet.box import RotatedBox
from centerdet.data.corners import box_from_corners


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentationConfig:
    """What may happen to an image; the defaults change nothing.

    Attributes:
        flips: Mirroring, with probability 1/2.
        quarter_turns: By 0, 90, 180 or 270 degrees, each as likely.
        rotation: Largest rotation either way, degrees.
        scale: Smallest and largest factor of the size.
        shift: Largest move either way, as a fraction of the side.
        brightness: Largest change either way, as a fraction of the full scale.
        contrast: Largest change either way, as a fraction.
        gamma: Smallest and largest exponent of the pixels.
        noise: Largest deviation of added Gaussian noise, as a fraction of the full scale.
        blur: Largest deviation of a Gaussian blur, pixels.
        fill: What is put where rotation, scale or shift leave nothing, in [0, 1]; ``None``: the image's mean.
    """

    flips: bool = False
    quarter_turns: bool = False
    rotation: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    shift: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    gamma: tuple[float, float] = (1.0, 1.0)
    noise: float = 0.0
    blur: float = 0.0
    fill: float | None = None

    def __post_init__(self) -> None:
        amounts = (self.rotation, self.shift, self.brightness, self.contrast, self.noise, self.blur)
        if min(amounts) < 0 or self.shift >= 0.5 or self.noise > 1 or self.blur > 100:
            raise ValueError(
                f"amounts must be at least 0, shift below 0.5, noise at most 1 and blur at most 100, got {self}"
            )
        if self.fill is not None and not 0 <= self.fill <= 1:
            raise ValueError(f"fill must lie in [0, 1] or be null, got {self.fill}")
        for name, (low, high) in {"scale": self.scale, "gamma": self.gamma}.items():
            if not 0.01 <= low <= high <= 100:
                raise ValueError(f"{name} must be two numbers in [0.01, 100], the smaller first, got {[low, high]}")


class Augmentation:
    """Applies an ``AugmentationConfig``.

    Args:
        config: What may happen.
    """

    def __init__(self, config: AugmentationConfig) -> None:
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for its newest version otherwise
        import albumentations as A  # noqa: N812

        self.config = config
        moves: list[Any] = []
        if config.flips:
            moves.append(A.HorizontalFlip(p=0.5))
        if config.quarter_turns:
            moves.append(A.RandomRotate90(p=1.0))
        if config.rotation or config.shift or config.scale != (1.0, 1.0):
            moves.append(
                A.Affine(
                    scale=config.scale,
                    translate_percent=(-config.shift, config.shift),
                    rotate=(-config.rotation, config.rotation),
                    shear=0,
                    keep_ratio=True,
                    fill=0.0,  # what is put there is taken off the image before
                    p=1.0,
                )
            )
        points = A.KeypointParams(format="xy", remove_invisible=False) if moves else None  # else it warns
        self._move = A.Compose(moves, keypoint_params=points)
        self._tone = A.Compose(_photometric(config))

    def __call__(
        self, image: NDArray[np.float32], box: RotatedBox | None, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], RotatedBox | None]:
        """Another image ``(H, W)`` in [0, 1], perhaps with H and W exchanged, and where the object is in it.

        An image whose object's centre would leave it is not moved.
        """
        for compose in (self._move, self._tone):
            compose.set_random_seed(int(rng.integers(2**31)))
        if self._move.transforms:
            image, box = self._moved(image, box)
        if self._tone.transforms:
            image = self._tone(image=image[..., None])["image"][..., 0]
        return np.ascontiguousarray(image).clip(0, 1), box

    def _moved(
        self, image: NDArray[np.float32], box: RotatedBox | None
    ) -> tuple[NDArray[np.float32], RotatedBox | None]:
        fill = image.mean() if self.config.fill is None else np.float32(self.config.fill)
        corners = np.zeros((0, 2), np.float32) if box is None else box.corners().astype(np.float32)
        moved = self._move(image=(image - fill)[..., None], keypoints=corners)
        picture = moved["image"][..., 0] + fill
        if box is None:
            return picture, None
        there = box_from_corners(moved["keypoints"])
        inside = 0 <= there.x <= picture.shape[1] - 1 and 0 <= there.y <= picture.shape[0] - 1
        return (picture, there) if inside else (image, box)


def _photometric(config: AugmentationConfig) -> list[Any]:
    import albumentations as A  # noqa: N812

    steps: list[Any] = []
    if config.brightness or config.contrast:
        steps.append(
            A.RandomBrightnessContrast(
                brightness_limit=config.brightness, contrast_limit=config.contrast, brightness_by_max=True, p=1.0
            )
        )
    if config.gamma != (1.0, 1.0):
        steps.append(A.RandomGamma(gamma_limit=(100 * config.gamma[0], 100 * config.gamma[1]), p=1.0))
    if config.noise:
        steps.append(A.GaussNoise(std_range=(0.0, config.noise), p=1.0))
    if config.blur:
        steps.append(A.GaussianBlur(sigma_limit=(0.0, config.blur), blur_limit=0, p=1.0))
    return steps
