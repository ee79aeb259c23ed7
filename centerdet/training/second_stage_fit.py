"""Training a second stage for a detector, from initial weights to a detector that is still to be calibrated."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import cast

import torch
from torch import nn

from centerdet.detector.detector import Detector
from centerdet.detector.pretrained import load
from centerdet.detector.second_stage import SecondStageSetup
from centerdet.evaluation.calibrate import calibrate
from centerdet.evaluation.metrics import LabelledImages
from centerdet.evaluation.report import EvaluationReport
from centerdet.files import make_folder, remove_leftovers
from centerdet.folder_lock import lock_folder
from centerdet.model.second_stage import SecondStage
from centerdet.training.checkpoint import CHECKPOINT_NAME
from centerdet.training.interrupts import catch_interrupts, explain_write_errors
from centerdet.training.logger import MetricLogger, OnLog
from centerdet.training.optim import learning_rate
from centerdet.training.progress import Progress
from centerdet.training.run_state import SAMPLE_IMAGES
from centerdet.training.second_stage_config import SecondStageRecipe
from centerdet.training.second_stage_starts import StartBlocks
from centerdet.training.second_stage_trainer import SecondStageTrainer
from centerdet.training.trainer import BatchSource, to_plain

MASK = 1  # channel of a patch besides the evidence: what is inside the image


def fit_second_stage(
    detector: Detector,
    source: BatchSource,
    validation: LabelledImages,
    *,
    recipe: SecondStageRecipe,
    directory: str | Path,
    seed: int = 0,
    other_first_stages: Sequence[Detector] = (),
    init_from: SecondStage | None = None,
    max_minutes: float | None = None,
    first_stage_directory: Path | None = None,
    on_log: OnLog | None = None,
) -> Detector:
    """Trains a second stage for a detector, or continues where the folder's checkpoint is.

    The folder holds ``checkpoint.pt``, ``metrics.jsonl`` and ``tensorboard/``. A continued run is identical to an
    uninterrupted one.

    Args:
        detector: The first stage; it stays as it is. Its device is that of the training.
        source: ``source[b]`` holds the images of block ``b`` with their labels, some hundreds of them.
        validation: Labelled images that it is not trained on, for the curve.
        recipe: How to train.
        directory: The run's folder; made if missing.
        seed: Of initial weights and starts.
        other_first_stages: Further detectors whose boxes it is trained from, cheaper ones, on images of the same kind.
        init_from: Second stage whose weights it starts from, if its layers are those of the recipe.
        max_minutes: As in ``TrainingConfig``, for this training.
        first_stage_directory: Folder of the run that this training is a part of, and continues with.
        on_log: As in ``fit``; the names begin with ``second stage/``.

    Returns:
        The detector with the second stage; its calibration and threshold are still to be fitted.

    Raises:
        ValueError: If the checkpoint is that of another run, another process trains into the folder, or a block has
            too few images.
        OSError: If the folder can no longer be written; the last checkpoint stays.
        FloatingPointError: If the loss is not finite; the last checkpoint stays.
        KeyboardInterrupt: On Ctrl-C or SIGTERM; the last checkpoint stays.
    """
    directory = Path(directory)
    make_folder(directory)
    with lock_folder(directory):
        remove_leftovers(directory)
        first_stages = [*other_first_stages, detector]
        trainer = _make_trainer(first_stages, source, recipe, directory, seed, init_from, max_minutes)
        if (directory / CHECKPOINT_NAME).exists():
            trainer.resume()
        if not trainer.is_over:
            _run_blocks(trainer, detector, validation, recipe, first_stage_directory, on_log)
    return with_second_stage(detector, trainer, recipe)


def load_first_stages(recipe: SecondStageRecipe | None, device: torch.device | str = "cpu") -> list[Detector]:
    """Loads the other first stages of a recipe: before hours of training, not after them.

    Raises:
        ValueError: If one of them cannot be loaded.
    """
    return [load(name, device=device) for name in (recipe.other_first_stages if recipe else ())]


def with_second_stage(detector: Detector, trainer: SecondStageTrainer, recipe: SecondStageRecipe) -> Detector:
    """A detector of the same first stage with the averaged second one; its calibration is still to be fitted."""
    before = detector.second_stage.peak_calibration if detector.second_stage else detector.calibration
    network = cast(SecondStage, trainer.ema.module)
    return Detector(
        detector.network,
        detector.codec,
        threshold=detector.threshold,
        intensity_range=detector.intensity_range,
        refinement=detector.refinement,
        second_stage=SecondStageSetup(network=network, hypotheses=recipe.hypotheses, peak_calibration=before),
        metadata=dict(detector.metadata),
    )


def _make_trainer(
    first_stages: Sequence[Detector],
    source: BatchSource,
    recipe: SecondStageRecipe,
    directory: Path,
    seed: int,
    init_from: SecondStage | None,
    max_minutes: float | None,
) -> SecondStageTrainer:
    """The last first stage is the one that the second stage is made for."""
    detector = first_stages[-1]
    settings = {
        "recipe": recipe,
        "seed": seed,
        "first_stages": [_digest(one.network) for one in first_stages],
        "init_from": init_from and _digest(init_from),
        "max_minutes": max_minutes,
    }
    return SecondStageTrainer(
        _make_stage(detector, recipe, seed, init_from),
        detector.network.encode_images,
        StartBlocks(source, first_stages, seed=seed, config=recipe.starts),
        recipe=recipe,
        directory=directory,
        settings=to_plain(settings),
        max_minutes=max_minutes,
    )


def _make_stage(detector: Detector, recipe: SecondStageRecipe, seed: int, init_from: SecondStage | None) -> SecondStage:
    """Creates a new stage for a detector, or a copy of ``init_from``, if that has the same layers."""
    size_unit, has_heading = detector.codec.config.size_unit, detector.codec.has_heading
    config = replace(recipe.network, size_unit=size_unit, has_heading=has_heading)
    torch.manual_seed(seed)
    stage = SecondStage(detector.network.config.in_channels + MASK, config)
    if init_from is not None:
        weights, shapes = init_from.state_dict(), {name: part.shape for name, part in stage.state_dict().items()}
        if {name: part.shape for name, part in weights.items()} == shapes:
            stage.load_state_dict(weights)
    return stage.to(next(detector.network.parameters()).device)


def _digest(network: nn.Module) -> str:
    """SHA-256 of weights: training continues only with the same ones."""
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _run_blocks(
    trainer: SecondStageTrainer,
    detector: Detector,
    validation: LabelledImages,
    recipe: SecondStageRecipe,
    first_stage_directory: Path | None,
    on_log: OnLog | None,
) -> None:
    """Trains on the remaining blocks; after each of them logs, validates if it is due, and writes a checkpoint."""
    config, directory, schedule = trainer.config, trainer.directory, trainer.schedule
    renamed = on_log and (lambda step, values: on_log(step, {f"second stage/{key}": values[key] for key in values}))
    with (
        catch_interrupts() as interrupted,
        MetricLogger(directory, resume_from=trainer.step, on_log=renamed) as logger,
        Progress(schedule, step=trainer.step, name="second stage") as progress,
    ):
        while not trainer.is_over:
            place, report = trainer.place, None
            terms = trainer.train_block(interrupted)
            moment = f"after block {trainer.block} of the second stage"
            with explain_write_errors(moment, directory, first_stage_directory):
                logger.log_losses(trainer.step, terms, learning_rate(trainer.place, config, schedule.steps))
                if schedule.validation_is_due(place, trainer.place):
                    start = monotonic()
                    report = _validate(with_second_stage(detector, trainer, recipe), validation, logger, trainer.step)
                    schedule.validated(trainer.step, improved=True, seconds=monotonic() - start)
                trainer.checkpoint()
            progress.update(trainer.step, terms.total, report)


def _validate(detector: Detector, validation: LabelledImages, logger: MetricLogger, step: int) -> EvaluationReport:
    with warnings.catch_warnings():  # a young stage may be right nowhere
        warnings.filterwarnings("ignore", message="scores stay uncalibrated")
        report = calibrate(detector, validation)
    logger.log_validation(step, report, detector, [image for image, _ in validation[:SAMPLE_IMAGES]])
    return report
