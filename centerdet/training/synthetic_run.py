"""Runs on the task's synthetic scenes: training as a ``Config`` describes it, and calibration of the best weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from centerdet.detector.detector import Detector
from centerdet.detector.refined import RefinedDetector, RefinementConfig
from centerdet.evaluation.calibrate import calibrate
from centerdet.evaluation.report import EvaluationReport
from centerdet.model.centernet import CenterNet
from centerdet.model.codec import Codec
from centerdet.model.losses import CenterLoss
from centerdet.refine.prior import ScenePrior
from centerdet.synthetic.batches import CurriculumConfig, SyntheticBatches
from centerdet.synthetic.scenes import SyntheticScenes
from centerdet.training.config import Config
from centerdet.training.finish import FIRST_STAGE, REFINEMENT, SECOND_STAGE, add_step
from centerdet.training.schedule import CALIBRATION_SHARE, TimeLimits, divide_time, limit_time
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
        config=replace(config.training, max_minutes=_time_limits(config).first_stage),
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
        The report on the calibration scenes; the stored one if this is done already.
    """

    def step(detector: Detector) -> tuple[Detector, EvaluationReport]:
        return detector, _calibrate(detector, config, _time_limits(config).first_stage)

    return add_step(Path(directory) / "best.safetensors", FIRST_STAGE, step, device=device)


def add_second_stage(
    directory: str | Path,
    config: Config,
    *,
    other_first_stages: Sequence[Detector] = (),
    device: torch.device | str = "cpu",
) -> EvaluationReport | None:
    """Trains the second stage of a run's best weights, if the config has one, and calibrates the final boxes.

    It is trained in the folder ``second_stage`` of the run; a stopped training continues there.

    Args:
        directory: The run's folder, after ``calibrate_best``; its ``best.safetensors`` gets the second stage.
        config: The run's config.
        other_first_stages: Of ``second_stage_fit.load_first_stages``.
        device: Where to train.

    Returns:
        The report on the calibration scenes with the second stage, stored if it is there already; ``None`` without one.
    """
    if (recipe := config.second_stage) is None:
        return None
    path, minutes = Path(directory) / "best.safetensors", _time_limits(config).second_stage

    def step(detector: Detector) -> tuple[Detector, EvaluationReport]:
        validation = SyntheticScenes(config.validation.seed, config=config.scenes)
        detector = fit_second_stage(
            detector,
            second_stage_batches(config, recipe),
            [validation[index] for index in range(config.validation.scenes)],
            recipe=recipe,
            directory=path.parent / "second_stage",
            seed=config.training.seed,
            other_first_stages=other_first_stages,
            max_minutes=minutes,
            first_stage_directory=path.parent,
        )
        return detector, _calibrate(detector, config, minutes)

    return add_step(path, SECOND_STAGE, step, device=device)


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
        The report on the calibration scenes, with refinement, stored if it is there already. ``None`` if the noise
        level is 1: any pixel may then be background, and refinement is impossible.

    Raises:
        ImportError: If numba is missing.
    """
    if config.scenes.noise_level >= 1:
        return None
    prior = ScenePrior(noise_level=config.scenes.noise_level, num_lines=config.scenes.num_lines)

    def step(detector: Detector) -> tuple[Detector, EvaluationReport]:
        refinement = detector.refinement = RefinementConfig(scene=prior)
        refined = detector.with_refinement()
        report = _calibrate(refined, config, _time_limits(config).refinement, share=1.0)
        detector.refinement = replace(refinement, threshold=refined.threshold, calibration=refined.calibration)
        return detector, report

    return add_step(Path(directory) / "best.safetensors", REFINEMENT, step, device=device)


def _time_limits(config: Config) -> TimeLimits:
    refinement = config.scenes.noise_level < 1
    return divide_time(config.training.max_minutes, second_stage=config.second_stage is not None, refinement=refinement)


def _calibrate(
    detector: Detector | RefinedDetector, config: Config, minutes: float | None, *, share: float = CALIBRATION_SHARE
) -> EvaluationReport:
    """Calibrates a detector on the scenes that follow those of the validation, in a share of a part's minutes."""
    scenes = SyntheticScenes(config.validation.seed, first=config.validation.scenes, config=config.scenes)
    limited = limit_time(scenes, None if minutes is None else share * minutes)
    return calibrate(detector, limited, count=config.validation.calibration_scenes, progress=True)
