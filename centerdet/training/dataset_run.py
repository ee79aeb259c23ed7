"""Training on a data set: loads it and chooses the settings that its user leaves open."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from centerdet.data.dataset import Dataset, load_training_splits
from centerdet.detector.detector import Detector
from centerdet.evaluation.report import EvaluationReport
from centerdet.training.config import ImagesConfig, read_images_config
from centerdet.training.defaults import default_config
from centerdet.training.own_images import train
from centerdet.training.second_stage_config import SecondStageRecipe
from centerdet.training.sizes import crop_phases, fill_sizes, measure_noise_level, use_noise_level


class DatasetRun(NamedTuple):
    """A data set and the settings to train on it.

    Attributes:
        images: Split ``train``.
        validation: Split ``validation``.
        config: Complete settings.
        choices: What was chosen, one line each.
    """

    images: Dataset
    validation: Dataset
    config: ImagesConfig
    choices: tuple[str, ...]


def prepare_dataset_run(
    path: str | Path,
    *,
    config_path: str | Path | None = None,
    overrides: Sequence[str] = (),
    fine_tuning: bool = False,
) -> DatasetRun:
    """Loads a data set and completes the settings.

    Args:
        path: The data set's YAML file.
        config_path: Settings; ``None``: those of ``defaults.default_config``. Without a ``size_unit`` or ``crop_size``,
            they follow from the training boxes.
        overrides: As in ``overrides.apply_overrides``.
        fine_tuning: Whether training will start from weights.

    Raises:
        ValueError: As ``load_dataset`` and ``read_images_config``, and if a split has no object.
    """
    given = read_images_config(config_path, overrides)  # a mistake there is found before the data are read
    images, validation, taken = load_training_splits(path)
    for split, dataset in (("train", images), ("validation", validation)):
        if not any(item.box for item in dataset.items):
            raise ValueError(f"no image of the {split} split of {path} has an object; correct its labels")
    level = measure_noise_level(given, images, images.intensity_range)
    has_noise_level = level is not None or given.network.noise_level is not None
    choose = partial(default_config, len(images), fine_tuning=fine_tuning, has_noise_level=has_noise_level)
    base = choose()
    config = read_images_config(config_path, overrides, base=base)
    if config_path is None and config.training.steps != base.training.steps:
        config = read_images_config(config_path, overrides, base=choose(steps=config.training.steps))
    filled = fill_sizes(config, [item.box for item in images.items if item.box])
    filled = use_noise_level(filled, level)
    source = "chosen for this data set" if config_path is None else f"of {config_path}"
    return DatasetRun(images, validation, filled, _describe(filled, config, images, validation, taken, source))


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
    init_from: Detector | None = None,
    device: torch.device | str = "cpu",
    resume: bool = False,
) -> EvaluationReport:
    """Trains on the ``train`` split of a data set; validates and calibrates on its ``validation`` split.

    Args:
        run: From ``prepare_dataset_run``.
        directory: As in ``train``.
        init_from: As in ``train``.
        device: As in ``train``.
        resume: As in ``train``.

    Returns:
        As ``train``.

    Raises:
        ValueError: As ``train``.
    """
    return train(
        run.images,
        run.validation,
        run.config,
        directory=directory,
        has_heading=run.images.has_heading,
        intensity_range=run.images.intensity_range,
        init_from=init_from,
        device=device,
        resume=resume,
    )
