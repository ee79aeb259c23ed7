"""Training on a data set or on any other scenes, from scratch or from existing weights."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import nn

from centerdet.data.augment import Augmentation
from centerdet.data.crops import CropBatches, SceneSource
from centerdet.data.image_io import check_brightness
from centerdet.detector.detector import Detector, make_codec
from centerdet.evaluation.metrics import LabelledImages
from centerdet.evaluation.report import EvaluationReport
from centerdet.model.centernet import CenterNet
from centerdet.model.codec import Codec, CodecConfig
from centerdet.model.losses import CenterLoss
from centerdet.preprocessing import to_unit_range
from centerdet.training.config import ImagesConfig
from centerdet.training.finish import finish_stages
from centerdet.training.logger import OnLog
from centerdet.training.schedule import divide_time
from centerdet.training.second_stage_config import SecondStageRecipe
from centerdet.training.second_stage_fit import fit_second_stage, load_first_stages
from centerdet.training.sizes import crop_phases, fill_noise_level, fill_sizes
from centerdet.training.trainer import fit

_LOGGER = logging.getLogger(__name__)

CHECKED_IMAGES = 16  # validation images whose pixel values are checked before training
NEW_YAW_STD = 0.01  # standard deviation of yaw weights that are drawn anew: small, as in a new network


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
    on_log: OnLog | None = None,
) -> EvaluationReport:
    """Trains a detector and leaves it, calibrated, in ``best.safetensors`` of a folder.

    Args:
        scenes: Training scenes: a sequence, a function or an iterable, see ``CropBatches``.
        validation: Labelled images, the same at each iteration.
        config: Settings; without a ``size_unit`` or ``crop_size``, they follow from the validation boxes.
        directory: The run's folder, as in ``fit``.
        has_heading: Whether yaws tell nose from tail.
        intensity_range: Pixel values that become 0 and 1; ``None``: the full scale of the image's type.
        init_from: Detector whose weights training starts from, its second stage included; its network replaces
            ``config.network``.
        device: Where to train.
        resume: Continue the run in the folder.
        on_log: As in ``fit``.

    Returns:
        The report of the best weights on the validation images, after calibration on the same images.

    Raises:
        ValueError: As ``fit`` and ``CropBatches``.
    """
    if config.size_unit is None or config.crop_size is None:
        config = fill_sizes(config, [box for _, box in validation if box])
    config = fill_noise_level(
        config, scenes if isinstance(scenes, Sequence) else validation, intensity_range, init_from
    )
    other_first_stages = load_first_stages(config.second_stage, device)
    limits = divide_time(config.training.max_minutes, second_stage=config.second_stage is not None)
    network, codec = _make_model(config, init_from, has_heading)
    warn_about_pixels(validation, intensity_range, network)
    settings = {"images": {**asdict(config), "has_heading": has_heading, "intensity_range": intensity_range}}
    if init_from is not None:
        settings["init_from"] = init_from.metadata.get("settings", {})
    fit(
        network,
        codec,
        CenterLoss(config.loss),
        _make_batches(scenes, config, intensity_range),
        validation,
        config=replace(config.training, max_minutes=limits.first_stage),
        directory=directory,
        device=device,
        intensity_range=intensity_range,
        resume=resume,
        settings=settings,
        on_log=on_log,
    )
    path, recipe = Path(directory) / "best.safetensors", config.second_stage
    if recipe is None:
        return finish_stages(path, validation, None, device=device)

    def fit_second(detector: Detector) -> Detector:
        return fit_second_stage(
            detector,
            _make_batches(scenes, config, intensity_range, recipe),
            validation,
            recipe=recipe,
            directory=path.parent / "second_stage",
            seed=config.training.seed,
            other_first_stages=other_first_stages,
            init_from=init_from.second_stage.network if init_from and init_from.second_stage else None,
            max_minutes=limits.second_stage,
            first_stage_directory=path.parent,
            on_log=on_log,
        )

    return finish_stages(path, validation, fit_second, device=device)


def warn_about_pixels(
    validation: LabelledImages, intensity_range: tuple[float, float] | None, network: CenterNet
) -> None:
    """Logs a warning if the images are nearly black, or mostly above the network's noise level."""
    images = [to_unit_range(image, intensity_range) for image, _ in islice(validation, CHECKED_IMAGES)]
    try:
        check_brightness(max((float(image.max()) for image in images), default=1.0))
    except ValueError as error:
        _LOGGER.warning(str(error))
    level = network.config.noise_level
    if level is not None and sum(np.median(image) > level for image in images) > len(images) / 2:
        _LOGGER.warning(
            "most pixels of the images are above %g of the full scale, the noise_level of this network, which treats "
            "them all alike; train from scratch, with noise_level null",
            level,
        )


def _make_model(config: ImagesConfig, init_from: Detector | None, has_heading: bool) -> tuple[CenterNet, Codec]:
    """Creates a new network, or a copy of the one in ``init_from``, and its codec."""
    assert config.size_unit is not None  # see fill_sizes
    torch.manual_seed(config.training.seed)
    network = CenterNet(replace(init_from.network.config if init_from else config.network, has_heading=has_heading))
    if init_from:
        network.load_state_dict(init_from.network.state_dict())
        if has_heading != init_from.has_heading:  # the yaw maps have another meaning
            nn.init.normal_(network.heads.vectors.data[0], std=NEW_YAW_STD)
        network.scale_sizes(init_from.codec.config.size_unit / config.size_unit)  # the same ones in the new unit
    base = init_from.codec.config if init_from else CodecConfig()
    return network, make_codec(network, replace(base, size_unit=config.size_unit))


def _make_batches(
    scenes: SceneSource,
    config: ImagesConfig,
    intensity_range: tuple[float, float] | None,
    second_stage: SecondStageRecipe | None = None,
) -> CropBatches:
    training, phases = config.training, crop_phases(config)
    seed, steps, batch_size = training.seed, training.steps, config.batch_size
    if second_stage is not None:  # other crops than the first stage's, in blocks, all as large as its last ones
        seed, steps, batch_size = seed + 1, second_stage.training.blocks, second_stage.images_per_block
        phases = phases[-1:]
    return CropBatches(
        scenes,
        seed=seed,
        steps=steps,
        batch_size=batch_size,
        crop_size=phases,
        augmentation=Augmentation(config.augmentation),
        intensity_range=intensity_range,
    )
