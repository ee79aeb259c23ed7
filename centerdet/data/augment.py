"""Augmentation of labelled images by albumentations.

Boxes are transformed through their four corners, since albumentations' own keypoint angles are wrong under ``Affine``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from centerdet.box import RotatedBox, box_from_corners


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentationConfig:
    """Random changes of an image; by default, none.

    Attributes:
        flips: Mirror left and right, with probability 1/2.
        quarter_turns: Rotate by 0, 90, 180 or 270 degrees, all equally likely.
        rotation: Largest rotation in either direction, degrees.
        scale: Smallest and largest factor of the size.
        shift: Largest shift in either direction, as a fraction of the side, below 0.5.
        brightness: Largest change in either direction, as a fraction of the full scale.
        contrast: Largest change in either direction, as a fraction.
        gamma: Smallest and largest exponent of the pixels.
        noise: Largest standard deviation of added Gaussian noise, as a fraction of the full scale.
        blur: Largest standard deviation of a Gaussian blur, px.
        fill: Value, in [0, 1], of the areas that rotation, scale or shift leave empty; ``None``: the image's mean.

    Raises:
        ValueError: If an amount is out of range.
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
    """Applies the random changes of an ``AugmentationConfig``.

    Args:
        config: The changes.
    """

    def __init__(self, config: AugmentationConfig) -> None:
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else it asks the internet for its newest version
        import albumentations as A  # noqa: N812

        self.config = config
        geometric = _geometric(config)
        points = A.KeypointParams(format="xy", remove_invisible=False) if geometric else None  # unused, it would warn
        self._geometric = A.Compose(geometric, keypoint_params=points)
        self._photometric = A.Compose(_photometric(config))

    def __call__(
        self, image: NDArray[np.float32], box: RotatedBox | None, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], RotatedBox | None]:
        """Changes an image and moves its box along.

        If the object's centre would leave the image, neither is moved.

        Args:
            image: ``(H, W)`` in [0, 1].
            box: The object's box, or ``None``.
            rng: The source of randomness.

        Returns:
            The new image, in [0, 1], ``(H, W)``, or ``(W, H)`` after a quarter turn, and the new box.
        """
        for compose in (self._geometric, self._photometric):
            compose.set_random_seed(int(rng.integers(2**31)))
        if self._geometric.transforms:
            image, box = self._move(image, box)
        if self._photometric.transforms:
            image = self._photometric(image=image[..., None])["image"][..., 0]
        return np.ascontiguousarray(image).clip(0, 1), box

    def _move(
        self, image: NDArray[np.float32], box: RotatedBox | None
    ) -> tuple[NDArray[np.float32], RotatedBox | None]:
        fill = image.mean() if self.config.fill is None else np.float32(self.config.fill)
        corners = np.zeros((0, 2), np.float32) if box is None else box.corners().astype(np.float32)
        result = self._geometric(image=(image - fill)[..., None], keypoints=corners)
        moved = result["image"][..., 0] + fill
        if box is None:
            return moved, None
        moved_box = box_from_corners(result["keypoints"])
        inside = 0 <= moved_box.x <= moved.shape[1] - 1 and 0 <= moved_box.y <= moved.shape[0] - 1
        return (moved, moved_box) if inside else (image, box)


def _geometric(config: AugmentationConfig) -> list[Any]:
    import albumentations as A  # noqa: N812

    steps: list[Any] = []
    if config.flips:
        steps.append(A.HorizontalFlip(p=0.5))
    if config.quarter_turns:
        steps.append(A.RandomRotate90(p=1.0))
    if config.rotation or config.shift or config.scale != (1.0, 1.0):
        steps.append(
            A.Affine(
                scale=config.scale,
                translate_percent=(-config.shift, config.shift),
                rotate=(-config.rotation, config.rotation),
                shear=0,
                keep_ratio=True,
                fill=0.0,  # ``_move`` subtracts the fill value first, and adds it again
                p=1.0,
            )
        )
    return steps


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
