"""Training on images of one's own, from scratch or from weights that have learned something else."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import nn

from centerdet.box import RotatedBox
from centerdet.data.augment import Augmentation
from centerdet.data.crops import CropBatches, SceneSource
from centerdet.data.dataset import load_dataset
from centerdet.data.image_io import check_brightness
from centerdet.detector.detector import Detector, make_codec
from centerdet.evaluation.metrics import LabelledImages, calibrate
from centerdet.evaluation.report import EvaluationReport
from centerdet.model.centernet import CenterNet
from centerdet.model.codec import Codec, CodecConfig
from centerdet.model.losses import CenterLoss
from centerdet.preprocessing import to_unit_range
from centerdet.training.config import ImagesConfig
from centerdet.training.trainer import fit

_LOGGER = logging.getLogger(__name__)


def train_dataset(
    path: str | Path,
    config: ImagesConfig,
    *,
    directory: str | Path,
    init_from: Detector | None = None,
    device: torch.device | str = "cpu",
    resume: bool = False,
) -> EvaluationReport:
    """Trains on the ``train`` split of a data set, validated and calibrated on its ``validation`` split.

    Args:
        path: The data set's YAML file.
        config: How to train.
        directory: As in ``train``.
        init_from: As in ``train``.
        device: As in ``train``.
        resume: As in ``train``.

    Raises:
        ValueError: As ``load_dataset``, ``train`` and ``fit``.
    """
    scenes, validation = load_dataset(path, "train"), load_dataset(path, "validation")
    for split, dataset in (("train", scenes), ("validation", validation)):
        if not any(item.box for item in dataset.items):
            raise ValueError(f"no image of the {split} split of {path} has an object; correct its labels")
    boxes = [item.box for item in scenes.items if item.box]
    return train(
        scenes,
        validation,
        _sized(config, boxes),
        directory=directory,
        has_heading=scenes.has_heading,
        intensity_range=scenes.intensity_range,
        init_from=init_from,
        device=device,
        resume=resume,
    )


def train(
    scenes: SceneSource,
    validation: LabelledImages,
    config: ImagesConfig,
    *,
    directory: str | Path,
    has_heading: bool = True,
    intensity_range: tuple[float, float] | None = None,
    init_from: Detector | None = None,
    device: torch.device | str = "cpu",
    resume: bool = False,
) -> EvaluationReport:
    """Trains a detector on scenes of any kind and leaves it, calibrated, in a folder's ``best.safetensors``.

    Args:
        scenes: What to learn from, see ``CropBatches``.
        validation: Labelled images, the same every time they are gone through.
        config: How to train; without a ``size_unit`` or ``crop_size``, they are taken from the validation boxes.
        directory: The run's folder, as in ``fit``.
        has_heading: Whether yaws tell nose from tail.
        intensity_range: Pixel values that become 0 and 1.
        init_from: A detector to start from: its network, whatever ``config.network`` says.
        device: Where to train.
        resume: Go on with the run in the folder.

    Returns:
        The report of the best weights on the validation images, after calibration on them.

    Raises:
        ValueError: As in ``fit`` and ``CropBatches``.
    """
    if config.size_unit is None or config.crop_size is None:
        config = _sized(config, [box for _, box in validation if box])
    network, codec = _model(config, init_from, has_heading)
    _look_at_pixels(validation, intensity_range, network)
    batches = CropBatches(
        scenes,
        seed=config.training.seed,
        steps=config.training.steps,
        batch_size=config.batch_size,
        crop_size=config.crop_size,
        augmentation=Augmentation(config.augmentation),
        intensity_range=intensity_range,
    )
    settings = {"images": {**asdict(config), "heading": has_heading, "intensity": intensity_range}}
    if init_from is not None:
        settings["start"] = init_from.metadata.get("settings", {})
    fit(
        network,
        codec,
        CenterLoss(config.loss),
        batches,
        validation,
        config=config.training,
        directory=directory,
        device=device,
        intensity_range=intensity_range,
        resume=resume,
        settings=settings,
    )
    return _calibrate(Path(directory) / "best.safetensors", validation, device)


def _sized(config: ImagesConfig, boxes: Sequence[RotatedBox]) -> ImagesConfig:
    """The config with what depends on the objects' sizes filled in, where it is not given."""
    if not boxes:
        boxes = [RotatedBox(0, 0, 0, CodecConfig().size_unit, CodecConfig().size_unit)]
    unit = math.exp(sum(math.log(box.width * box.height) / 2 for box in boxes) / len(boxes))
    diagonals = sorted(math.hypot(box.width, box.height) for box in boxes)
    crop_size = 32 * math.ceil(1.5 * diagonals[int(0.95 * (len(boxes) - 1))] / 32)
    return replace(
        config, size_unit=config.size_unit or round(unit, 1), crop_size=config.crop_size or max(96, crop_size)
    )


def _model(config: ImagesConfig, start: Detector | None, has_heading: bool) -> tuple[CenterNet, Codec]:
    """A new network, or one that goes on from where another is, and its codec."""
    torch.manual_seed(config.training.seed)
    network = CenterNet(replace(start.network.config if start else config.network, has_heading=has_heading))
    if start:
        network.load_state_dict(start.network.state_dict())
        if has_heading != start.has_heading:  # what the yaw maps mean is new
            nn.init.normal_(network.heads.vectors.data[0], std=0.01)
    base = start.codec.config if start else CodecConfig()
    return network, make_codec(network, replace(base, size_unit=config.size_unit))


def _look_at_pixels(
    validation: LabelledImages, intensity_range: tuple[float, float] | None, network: CenterNet
) -> None:
    """Warns of images of which the network will see little."""
    images = [to_unit_range(image, intensity_range) for image, _ in islice(validation, 16)]
    try:
        check_brightness(max((float(image.max()) for image in images), default=1.0))
    except ValueError as error:
        _LOGGER.warning(str(error))
    level = network.config.noise_level
    if level is not None and sum(np.median(image) > level for image in images) > len(images) / 2:
        _LOGGER.warning(
            "most of the images' pixels are above %g of the full scale, where this network (noise_level) tells no two "
            "from each other: start from scratch, with noise_level null",
            level,
        )


def _calibrate(path: Path, validation: LabelledImages, device: torch.device | str) -> EvaluationReport:
    """Calibrates the detector in a weights file, and keeps the report with it."""
    detector = Detector.load(path, device=device)
    report = calibrate(detector, validation, progress=True)
    detector.metadata["calibration"] = report.to_dict()
    detector.save(path)
    return report
