"""Sizes of a config that follow from the objects of a data set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from centerdet.box import RotatedBox
from centerdet.model.codec import CodecConfig
from centerdet.training.config import ImagesConfig

# The side of the crops: they should hold nearly every object and some background.
CROP_PER_DIAGONAL = 1.5
CROP_QUANTILE = 0.95  # of the boxes' diagonals; a few very large objects may be cut
CROP_MULTIPLE = 32  # px
MIN_CROP = 96  # px: smaller crops show too little background


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
