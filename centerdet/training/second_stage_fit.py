"""Training a second stage for a detector, from initial weights to calibrated scores."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import torch
from tqdm import tqdm

from centerdet.detector.detector import Detector
from centerdet.detector.second_stage import SecondStageSetup
from centerdet.evaluation.metrics import LabelledImages, calibrate
from centerdet.model.second_stage import SecondStage
from centerdet.training.second_stage_config import SecondStageRecipe
from centerdet.training.second_stage_starts import StartBlocks
from centerdet.training.second_stage_trainer import SecondStageTrainer
from centerdet.training.trainer import BatchSource

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
    resume: bool = False,
) -> Detector:
    """Trains a second stage for a detector.

    The folder holds ``checkpoint.pt``, ``metrics.jsonl`` and the first stages' boxes. A resumed run is
    identical to an uninterrupted one.

    Args:
        detector: The first stage; it stays as it is.
        source: ``source[b]`` holds the images of block ``b`` with their labels, some hundreds of them.
        validation: Labelled images that it is not trained on; they also choose threshold and calibration.
        recipe: How to train.
        directory: The run's folder; made if missing.
        seed: Of initial weights and starts.
        other_first_stages: Further detectors whose boxes it is trained from, cheaper ones, on images of the same kind.
        resume: Continue from the folder's checkpoint.

    Returns:
        The detector with the second stage, calibrated on ``validation``.

    Raises:
        ValueError: If there is nothing to resume, something would be overwritten, or a block has too few images.
        FloatingPointError: If the loss is not finite; the last checkpoint stays.
    """
    directory = Path(directory)
    if not resume and (directory / "checkpoint.pt").exists():
        raise ValueError(f"{directory} already holds a run; continue it with resume, or choose another folder")
    directory.mkdir(parents=True, exist_ok=True)
    trainer = _trainer(detector, source, recipe, directory, seed, other_first_stages)
    if resume:
        trainer.resume()

    def assemble() -> Detector:
        return with_second_stage(detector, cast(SecondStage, trainer.ema.module), recipe)

    _run(trainer, lambda: _validate(assemble(), validation))
    result = assemble()
    _validate(result, validation)
    return result


def with_second_stage(detector: Detector, stage: SecondStage, recipe: SecondStageRecipe) -> Detector:
    """A detector of the same first stage with a trained second one; its calibration is still to be fitted."""
    before = detector.second_stage.peak_calibration if detector.second_stage else detector.calibration
    return Detector(
        detector.network,
        detector.codec,
        threshold=detector.threshold,
        intensity_range=detector.intensity_range,
        refinement=detector.refinement,
        second_stage=SecondStageSetup(network=stage, hypotheses=recipe.hypotheses, peak_calibration=before),
        metadata=detector.metadata,
    )


def _trainer(
    detector: Detector,
    source: BatchSource,
    recipe: SecondStageRecipe,
    directory: Path,
    seed: int,
    others: Sequence[Detector],
) -> SecondStageTrainer:
    first_stages = [*others, detector]
    blocks = StartBlocks(source, first_stages, seed=seed, config=recipe.starts, folder=directory / "peaks")
    size_unit, has_heading = detector.codec.config.size_unit, detector.codec.has_heading
    config = replace(recipe.network, size_unit=size_unit, has_heading=has_heading)
    channels = 1 if detector.network.config.noise_level is None else 2
    torch.manual_seed(seed)
    return SecondStageTrainer(
        SecondStage(channels + MASK, config),
        detector.network.log_likelihood_ratio,
        blocks,
        loss=recipe.loss,
        config=recipe.training,
        directory=directory,
        settings=json.loads(json.dumps({"recipe": asdict(recipe), "seed": seed})),
    )


def _run(trainer: SecondStageTrainer, validate: Callable[[], dict[str, Any]]) -> None:
    config, start = trainer.config, time.perf_counter()
    with tqdm(total=config.blocks, initial=trainer.block, unit="block", disable=None) as bar:
        while trainer.block < config.blocks:
            record: dict[str, Any] = trainer.train_block()
            bar.update()
            bar.set_postfix(loss=f"{record['total']:.3f}")
            record |= {"block": trainer.block, "step": trainer.step, "seconds": time.perf_counter() - start}
            last = trainer.block == config.blocks
            if last or trainer.block % config.validate_every == 0:
                record["validation"] = validate()
            with (trainer.directory / "metrics.jsonl").open("a") as file:
                file.write(json.dumps(record) + "\n")
            if last or trainer.block % config.checkpoint_every == 0:
                trainer.checkpoint()


def _validate(detector: Detector, validation: LabelledImages) -> dict[str, Any]:
    """Calibrates a detector; returns its report as plain values."""
    with warnings.catch_warnings():  # a young stage may be right nowhere
        warnings.filterwarnings("ignore", message="scores stay uncalibrated")
        return calibrate(detector, validation).to_dict()
