"""Runs on the task's synthetic scenes: training as a ``Config`` describes it, and calibration of the best weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from centerdet.detector.detector import Detector
from centerdet.detector.pretrained import load
from centerdet.detector.refined import RefinementConfig
from centerdet.evaluation.metrics import calibrate
from centerdet.evaluation.report import EvaluationReport
from centerdet.model.centernet import CenterNet
from centerdet.model.codec import Codec
from centerdet.model.losses import CenterLoss
from centerdet.refine.prior import ScenePrior
from centerdet.synthetic.batches import CurriculumConfig, SyntheticBatches
from centerdet.synthetic.scenes import SyntheticScenes
from centerdet.training.config import Config
from centerdet.training.second_stage_config import SecondStageRecipe
from centerdet.training.second_stage_fit import fit_second_stage
from centerdet.training.trainer import fit


def train_synthetic(
    config: Config, *, directory: str | Path, device: torch.device | str = "cpu", resume: bool = False
) -> EvaluationReport:
    """Trains a network on synthetic scenes; every process of a distributed run calls this.

    Args:
        config: Network, scenes and training; its seed gives the initial weights and the batches.
        directory: The run's folder, as in ``fit``.
        device: Where to draw the scenes and to train.
        resume: Continue the run in the folder.

    Returns:
        The best validation report; its weights are in ``best.safetensors``.

    Raises:
        ValueError: As ``fit``.
    """
    torch.manual_seed(config.training.seed)
    network = CenterNet(config.network)
    scenes = SyntheticScenes(config.validation.seed, config=config.scenes)
    return fit(
        network,
        Codec(stride=config.network.stride, config=config.codec),
        CenterLoss(config.loss),
        SyntheticBatches(
            config.training.seed,
            steps=config.training.steps,
            scenes=config.scenes,
            curriculum=config.curriculum,
            device=device,
        ),
        [scenes[index] for index in range(config.validation.scenes)],
        config=config.training,
        directory=directory,
        device=device,
        resume=resume,
        settings=config.to_dict(),
    )


def calibrate_best(directory: str | Path, config: Config, *, device: torch.device | str = "cpu") -> EvaluationReport:
    """Calibrates scores and threshold of a run's best weights on scenes that follow the validation scenes.

    Args:
        directory: The run's folder; its ``best.safetensors`` gets the calibration and the report.
        config: The run's config.
        device: Where to run the detector.

    Returns:
        The report on the calibration scenes.
    """
    path = Path(directory) / "best.safetensors"
    detector = Detector.load(path, device=device)
    report = calibrate(detector, _unseen_scenes(config), count=config.validation.calibration_scenes, progress=True)
    detector.metadata["calibration"] = report.to_dict()
    detector.save(path)
    return report


def add_second_stage(directory: str | Path, config: Config) -> EvaluationReport | None:
    """Trains the second stage of a run's best weights, if the config has one, and calibrates the final boxes.

    It is trained on the CPU, in the folder ``second_stage`` of the run; a stopped training continues there.

    Args:
        directory: The run's folder, after ``calibrate_best``; its ``best.safetensors`` gets the second stage.
        config: The run's config.

    Returns:
        The report on the calibration scenes with the second stage; ``None`` without one.
    """
    recipe, path = config.second_stage, Path(directory) / "best.safetensors"
    if recipe is None:
        return None
    folder = path.parent / "second_stage"
    validation = SyntheticScenes(config.validation.seed, config=config.scenes)
    detector = fit_second_stage(
        Detector.load(path),
        second_stage_batches(config, recipe),
        [validation[index] for index in range(config.validation.scenes)],
        recipe=recipe,
        directory=folder,
        seed=config.training.seed,
        other_first_stages=[load(name) for name in recipe.other_first_stages],
        resume=(folder / "checkpoint.pt").exists(),
    )
    report = calibrate(detector, _unseen_scenes(config), count=config.validation.calibration_scenes, progress=True)
    detector.metadata["second_stage"] = report.to_dict()
    detector.save(path)
    return report


def second_stage_batches(config: Config, recipe: SecondStageRecipe) -> SyntheticBatches:
    """Returns the images that a second stage is trained on; none of them trains the first stage."""
    curriculum = CurriculumConfig(batch_size=recipe.images_per_block, ship_probability=recipe.object_probability)
    seed, steps = config.training.seed + 1, recipe.training.blocks
    return SyntheticBatches(seed, steps=steps, scenes=config.scenes, curriculum=curriculum)


def calibrate_refinement(
    directory: str | Path, config: Config, *, device: torch.device | str = "cpu"
) -> EvaluationReport | None:
    """Gives a run's best weights a refinement for the config's scenes, with its own calibration and threshold.

    Args:
        directory: The run's folder, after ``calibrate_best``.
        config: The run's config.
        device: Where to run the detector.

    Returns:
        The report on the calibration scenes, with refinement. ``None`` if the noise level is 1: any pixel may then be
        background, and refinement is impossible.

    Raises:
        ImportError: If numba is missing.
    """
    if config.scenes.noise_level >= 1:
        return None
    path = Path(directory) / "best.safetensors"
    detector = Detector.load(path, device=device)
    prior = ScenePrior(noise_level=config.scenes.noise_level, num_lines=config.scenes.num_lines)
    detector.refinement = RefinementConfig(scene=prior)
    refined = detector.with_refinement()
    report = calibrate(refined, _unseen_scenes(config), count=config.validation.calibration_scenes, progress=True)
    detector.refinement = replace(detector.refinement, threshold=refined.threshold, calibration=refined.calibration)
    detector.metadata["refinement"] = report.to_dict()
    detector.save(path)
    return report


def _unseen_scenes(config: Config) -> SyntheticScenes:
    """Returns the scenes that follow those of the validation."""
    return SyntheticScenes(config.validation.seed, first=config.validation.scenes, config=config.scenes)
