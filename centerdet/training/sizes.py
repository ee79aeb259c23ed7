"""Settings that follow from a data set: size unit, crops, and the noise level of the images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from centerdet.box import RotatedBox
from centerdet.data.augment import AugmentationConfig
from centerdet.data.crops import CropPhase, Scene
from centerdet.detector.detector import Detector
from centerdet.model.codec import CodecConfig
from centerdet.noise_level import estimate_noise_level
from centerdet.preprocessing import MIN_SIDE, to_unit_range
from centerdet.training.config import ImagesConfig

# The side of the crops: they should hold nearly every object and some background.
CROP_PER_DIAGONAL = 1.5
CROP_QUANTILE = 0.95  # of the boxes' diagonals; a few very large objects may be cut
CROP_MULTIPLE = 32  # px
MIN_CROP = 96  # px: smaller crops show too little background
# Phases of training: end as a fraction of the steps, and side of the crops as a fraction of ``crop_size``. Small crops
# cost less and hold fewer things that are no object; at the end, large ones teach how much background there is.
CROP_PHASES = ((0.08, 0.5), (0.65, 0.75), (0.85, 1.0), (1.0, 1.25))
PHASE_MULTIPLE = 16  # px: whole cells at all levels of the default network

NOISE_IMAGES = 64  # images whose noise level is measured
NOISE_AGREEMENT = 0.9  # share of the images that must have about the same level
NOISE_TOLERANCE = 0.01  # of the full scale


def fill_sizes(config: ImagesConfig, boxes: Sequence[RotatedBox]) -> ImagesConfig:
    """Returns the config with ``size_unit`` and ``crop_size`` derived from the boxes, where they are not given."""
    if not boxes:
        boxes = [RotatedBox(0, 0, 0, CodecConfig().size_unit, CodecConfig().size_unit)]
    unit = math.exp(sum(math.log(box.width * box.height) / 2 for box in boxes) / len(boxes))
    diagonals = sorted(math.hypot(box.width, box.height) for box in boxes)
    large = diagonals[int(CROP_QUANTILE * (len(boxes) - 1))]
    crop_size = CROP_MULTIPLE * math.ceil(CROP_PER_DIAGONAL * large / CROP_MULTIPLE)
    return replace(
        config, size_unit=config.size_unit or round(unit, 1), crop_size=config.crop_size or max(MIN_CROP, crop_size)
    )


def crop_phases(config: ImagesConfig) -> tuple[CropPhase, ...]:
    """Returns the crops of the phases of training; ``config.crop_size`` must be given."""
    assert config.crop_size is not None  # see fill_sizes
    if not config.growing_crops:
        return (CropPhase(crop_size=config.crop_size),)
    sides = [PHASE_MULTIPLE * math.ceil(factor * config.crop_size / PHASE_MULTIPLE) for _, factor in CROP_PHASES]
    return tuple(
        CropPhase(end_fraction=end, crop_size=max(MIN_SIDE, side))
        for (end, _), side in zip(CROP_PHASES, sides, strict=True)
    )


def fill_noise_level(
    config: ImagesConfig,
    scenes: Sequence[Scene],
    intensity_range: tuple[float, float] | None,
    init_from: Detector | None = None,
) -> ImagesConfig:
    """Returns the config with the noise level of the images, if they share one that the config does not give.

    Args:
        config: As in ``measure_noise_level``.
        scenes: As there.
        intensity_range: As there.
        init_from: Detector whose weights training starts from. If it has no noise level, nothing is measured.
    """
    if init_from is not None and init_from.trained_noise_level is None:
        return config
    return use_noise_level(config, measure_noise_level(config, scenes, intensity_range))


def measure_noise_level(
    config: ImagesConfig, scenes: Sequence[Scene], intensity_range: tuple[float, float] | None
) -> float | None:
    """Measures the noise level of the images.

    Args:
        config: Settings.
        scenes: Labelled images.
        intensity_range: As in ``preprocessing.to_unit_range``.

    Returns:
        The level; ``None`` if the config gives one or wants none, or if the images do not share one.
    """
    wanted = config.measure_noise_level and config.network.noise_level is None
    return _common_noise_level(scenes, intensity_range) if wanted else None


def use_noise_level(config: ImagesConfig, level: float | None) -> ImagesConfig:
    """Returns the config with a measured noise level, if there is one.

    Augmentation is then limited to flips and quarter turns, which keep the pixels' values.
    """
    if level is None:
        return config
    kept = AugmentationConfig(flips=config.augmentation.flips, quarter_turns=config.augmentation.quarter_turns)
    return replace(config, network=replace(config.network, noise_level=level), augmentation=kept)


def _common_noise_level(scenes: Sequence[Scene], intensity_range: tuple[float, float] | None) -> float | None:
    """Returns the highest of the images' noise levels; ``None`` if the images do not have about the same one."""
    count = min(NOISE_IMAGES, len(scenes))
    picked = [scenes[index * len(scenes) // count][0] for index in range(count)]
    levels = [estimate_noise_level(to_unit_range(image, intensity_range)) for image in picked]
    known = sorted(level for level in levels if level is not None)
    if not known:
        return None
    middle = known[len(known) // 2]
    near = [level for level in known if abs(level - middle) <= NOISE_TOLERANCE]
    return max(near) if len(near) >= NOISE_AGREEMENT * count else None
