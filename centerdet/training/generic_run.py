"""Training of weights for objects of many kinds, from which other data sets start."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch

from centerdet.detector.detector import Detector, make_codec
from centerdet.evaluation.calibrate import calibrate
from centerdet.evaluation.report import EvaluationReport
from centerdet.model.centernet import CenterNet
from centerdet.model.codec import CodecConfig
from centerdet.model.losses import CenterLoss
from centerdet.synthetic.generic.batches import VALIDATION_SIDE, GenericBatches, validation_scenes
from centerdet.training.config import ImagesConfig
from centerdet.training.finish import FIRST_STAGE, SECOND_STAGE, add_step
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
    batches = GenericBatches(seed, steps=config.training.steps)
    settings = {"generic": asdict(config)}
    fit(
        network,
        codec,
        CenterLoss(config.loss),
        batches,
        validation,
        config=config.training,
        directory=directory,
        resume=resume,
        settings=settings,
    )

    def calibrate_first(detector: Detector) -> tuple[Detector, EvaluationReport]:
        return detector, calibrate(detector, validation, progress=True)

    def add_second(detector: Detector) -> tuple[Detector, EvaluationReport]:
        assert recipe is not None
        source = GenericBatches(
            seed + 1, steps=recipe.training.blocks, pixels=recipe.images_per_block * VALIDATION_SIDE**2
        )
        folder = directory / "second_stage"
        detector = fit_second_stage(detector, source, validation, recipe=recipe, directory=folder, seed=seed)
        return detector, calibrate(detector, validation, progress=True)

    report = add_step(directory / "best.safetensors", FIRST_STAGE, calibrate_first)
    return report if recipe is None else add_step(directory / "best.safetensors", SECOND_STAGE, add_second)
