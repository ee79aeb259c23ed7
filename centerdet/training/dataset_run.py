"""Training on a data set: loads it and chooses the settings that its user leaves open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from centerdet.data.dataset import Dataset, load_training_splits
from centerdet.detector.detector import Detector
from centerdet.detector.pretrained import load
from centerdet.evaluation.report import EvaluationReport
from centerdet.model.centernet import CenterNet
from centerdet.training.config import ImagesConfig, read_images_config
from centerdet.training.defaults import default_config
from centerdet.training.overrides import apply_overrides
from centerdet.training.own_images import train
from centerdet.training.second_stage_config import SecondStageRecipe
from centerdet.training.sizes import crop_phases, fill_sizes, measure_noise_level, use_noise_level

CACHE_BYTES = 2**30  # of decoded images of each split; further ones are read again at each use
AUTO, NONE, GENERIC = "auto", "none", "generic"  # weights that training starts from


class DatasetRun(NamedTuple):
    """A data set and the settings to train on it.

    Attributes:
        images: Split ``train``.
        validation: Split ``validation``.
        config: Complete settings.
        init_from: Detector whose weights training starts from; ``None``: from scratch.
        choices: What was chosen, one line each.
    """

    images: Dataset
    validation: Dataset
    config: ImagesConfig
    init_from: Detector | None
    choices: tuple[str, ...]


def prepare_dataset_run(
    path: str | Path,
    *,
    config_path: str | Path | None = None,
    overrides: Sequence[str] = (),
    init: str = AUTO,
) -> DatasetRun:
    """Loads a data set and completes the settings.

    Args:
        path: The data set's YAML file.
        config_path: Settings; ``None``: those of ``defaults.default_config``. Without a ``size_unit`` or ``crop_size``,
            they follow from the training boxes.
        overrides: As in ``overrides.apply_overrides``.
        init: Weights that training starts from, as ``load`` takes them, or "none", or "auto": ``GENERIC``, unless there
            is a config file or an override of ``network``, or the images share a uniform background up to some
            level, which a new network gets.

    Raises:
        ValueError: As ``load_dataset``, ``read_images_config`` and ``load``, and if a split has no object.
    """
    given = read_images_config(config_path, overrides)  # a mistake there is found before the data are read
    images, validation, taken = load_training_splits(path)
    for split, dataset in (("train", images), ("validation", validation)):
        if not any(item.box for item in dataset.items):
            raise ValueError(f"no image of the {split} split of {path} has an object; correct its labels")
    level = measure_noise_level(given, images, images.intensity_range)
    has_noise_level = level is not None or given.network.noise_level is not None
    if init == AUTO:
        own_network = config_path is not None or "network" in apply_overrides({}, overrides)
        init = NONE if own_network or has_noise_level else GENERIC
    init_from = None if init == NONE else load(init)
    if init_from is not None and init_from.trained_noise_level is None:  # it takes pixels of any kind
        level, has_noise_level = None, False
    choose = partial(default_config, len(images), fine_tuning=init_from is not None, has_noise_level=has_noise_level)
    base = choose()
    config = read_images_config(config_path, overrides, base=base)
    if config_path is None and config.training.steps != base.training.steps:
        config = read_images_config(config_path, overrides, base=choose(steps=config.training.steps))
    if init_from is not None:
        config = replace(config, network=init_from.network.config)
    filled = fill_sizes(config, [item.box for item in images.items if item.box])
    filled = use_noise_level(filled, level)
    source = "chosen for this data set" if config_path is None else f"of {config_path}"
    choices = _describe(filled, config, images, validation, taken, source)
    parameters = sum(parameter.numel() for parameter in CenterNet(filled.network).parameters())
    start = f"starts from the weights {init}" if init_from else "starts from random weights"
    choices = (*choices, f"network: {parameters:,} parameters, {start}; --init changes that")
    return DatasetRun(images, validation, filled, init_from, choices)


def _describe(
    config: ImagesConfig, before: ImagesConfig, images: Dataset, validation: Dataset, taken: bool, source: str
) -> tuple[str, ...]:
    training = config.training
    held_out = ", taken from them by name: the data set has no validation split" if taken else ""
    crops = ", ".join(str(phase.crop_size) for phase in crop_phases(config))
    level = config.network.noise_level
    noise: tuple[str, ...] = ()
    if level != before.network.noise_level:
        noise = (
            f"network.noise_level: {level:.3g}, since the images share a uniform background up to there; hence no "
            "augmentation but flips and quarter turns; --set measure_noise_level=false trains without it",
        )
    return (
        f"images: {len(images)} to train on, {len(validation)} to validate{held_out}",
        f"crop_size: {config.crop_size} px{_origin(before.crop_size)}; "
        f"size_unit: {config.size_unit:g} px{_origin(before.size_unit)}; "
        f"crops in the course of training: {crops} px",
        f"settings {source}: batch_size {config.batch_size}, training.steps {training.steps}, "
        f"training.learning_rate {training.learning_rate:g}, training.validate_every {training.validate_every}, "
        f"network.channels {list(config.network.channels)}; "
        "--set changes them",
        _describe_second_stage(config.second_stage),
        *noise,
    )


def _describe_second_stage(recipe: SecondStageRecipe | None) -> str:
    if recipe is None:
        return "second_stage: none"
    return (
        f"second_stage: {recipe.training.blocks} blocks of {recipe.images_per_block} crops, after the network; "
        "--set second_stage=null leaves it out"
    )


def _origin(given: float | None) -> str:
    return ", from the boxes" if given is None else ""


def train_dataset(
    run: DatasetRun,
    *,
    directory: str | Path,
    device: torch.device | str = "cpu",
    resume: bool = False,
) -> EvaluationReport:
    """Trains on the ``train`` split of a data set; validates and calibrates on its ``validation`` split.

    Args:
        run: From ``prepare_dataset_run``.
        directory: As in ``train``.
        device: As in ``train``.
        resume: As in ``train``.

    Returns:
        As ``train``.

    Raises:
        ValueError: As ``train``.
    """
    return train(
        run.images.cached(CACHE_BYTES),
        run.validation.cached(CACHE_BYTES),
        run.config,
        directory=directory,
        has_heading=run.images.has_heading,
        intensity_range=run.images.intensity_range,
        init_from=run.init_from,
        device=device,
        resume=resume,
    )
