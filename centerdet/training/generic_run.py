"""Training of weights for objects of many kinds, from which other data sets start."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch

from centerdet.detector.detector import Detector, make_codec
from centerdet.evaluation.report import EvaluationReport
from centerdet.model.centernet import CenterNet
from centerdet.model.codec import CodecConfig
from centerdet.model.losses import CenterLoss
from centerdet.synthetic.generic.batches import VALIDATION_SIDE, GenericBatches, validation_scenes
from centerdet.training.config import ImagesConfig
from centerdet.training.finish import finish_stages
from centerdet.training.second_stage_fit import fit_second_stage
from centerdet.training.trainer import fit

VALIDATION_SEED, VALIDATION_SCENES = 1_000_000, 1000


def train_generic(config: ImagesConfig, *, directory: str | Path, resume: bool = False) -> EvaluationReport:
    """Trains both stages on generic scenes and leaves the detector, calibrated, in ``best.safetensors`` of a folder.

    Args:
        config: Network, loss, loop, size unit and second stage; crops and augmentation are not used.
        directory: The run's folder, as in ``fit``.
        resume: Continue the run in the folder.

    Returns:
        The report on the validation scenes.

    Raises:
        ValueError: As ``fit``.
    """
    directory, seed, recipe = Path(directory), config.training.seed, config.second_stage
    torch.manual_seed(seed)
    network = CenterNet(config.network)
    codec = make_codec(network, CodecConfig(size_unit=config.size_unit or CodecConfig().size_unit))
    validation = validation_scenes(VALIDATION_SEED, VALIDATION_SCENES)
    fit(
        network,
        codec,
        CenterLoss(config.loss),
        GenericBatches(seed, steps=config.training.steps),
        validation,
        config=config.training,
        directory=directory,
        resume=resume,
        settings={"generic": asdict(config)},
    )
    path = directory / "best.safetensors"
    if recipe is None:
        return finish_stages(path, validation, None)

    def fit_second(detector: Detector) -> Detector:
        size = recipe.images_per_block, VALIDATION_SIDE
        source = GenericBatches(seed + 1, steps=recipe.training.blocks, size=size)
        folder = directory / "second_stage"
        return fit_second_stage(detector, source, validation, recipe=recipe, directory=folder, seed=seed)

    return finish_stages(path, validation, fit_second)
