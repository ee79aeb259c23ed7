"""Training of weights for objects of many kinds, from which other data sets start."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import torch

from centerdet.detector.detector import Detector, make_codec
from centerdet.evaluation.report import EvaluationReport
from centerdet.model.centernet import CenterNet
from centerdet.model.codec import CodecConfig
from centerdet.model.losses import CenterLoss
from centerdet.synthetic.generic.batches import EASY_SHARE, VALIDATION_SIDE, GenericBatches, validation_scenes
from centerdet.training.config import ImagesConfig
from centerdet.training.finish import finish_stages
from centerdet.training.second_stage_fit import fit_second_stage
from centerdet.training.trainer import fit

VALIDATION_SEED, VALIDATION_SCENES = 1_000_000, 1000


def train_generic(
    config: ImagesConfig, *, directory: str | Path, init_from: Detector | None = None, resume: bool = False
) -> EvaluationReport:
    """Trains both stages on generic scenes and leaves the detector, calibrated, in ``best.safetensors`` of a folder.

    Args:
        config: Network, loss, loop, size unit and second stage; crops and augmentation are not used.
        directory: The run's folder, as in ``fit``.
        init_from: Detector whose weights both stages start from, at full difficulty; its network replaces that of the
            config.
        resume: Continue the run in the folder.

    Returns:
        The report on the validation scenes.

    Raises:
        ValueError: As ``fit``.
    """
    directory, seed, recipe = Path(directory), config.training.seed, config.second_stage
    if init_from is not None:
        config = replace(config, network=init_from.network.config, size_unit=init_from.codec.config.size_unit)
    torch.manual_seed(seed)
    network = CenterNet(config.network)
    if init_from is not None:
        network.load_state_dict(init_from.network.state_dict())
    codec = make_codec(network, CodecConfig(size_unit=config.size_unit or CodecConfig().size_unit))
    validation = validation_scenes(VALIDATION_SEED, VALIDATION_SCENES)
    settings = {"generic": asdict(config)}
    if init_from is not None:
        settings["init_from"] = init_from.metadata.get("settings", {})
    fit(
        network,
        codec,
        CenterLoss(config.loss),
        GenericBatches(seed, steps=config.training.steps, easy_share=EASY_SHARE if init_from is None else 0.0),
        validation,
        config=config.training,
        directory=directory,
        resume=resume,
        settings=settings,
    )
    path = directory / "best.safetensors"
    if recipe is None:
        return finish_stages(path, validation, None)

    def fit_second(detector: Detector) -> Detector:
        size = recipe.images_per_block, VALIDATION_SIDE
        source = GenericBatches(seed + 1, steps=recipe.training.blocks, size=size)
        start = init_from.second_stage.network if init_from and init_from.second_stage else None
        return fit_second_stage(
            detector,
            source,
            validation,
            recipe=recipe,
            directory=directory / "second_stage",
            seed=seed,
            init_from=start,
            first_stage_directory=directory,
        )

    return finish_stages(path, validation, fit_second)
