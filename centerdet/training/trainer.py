"""The training loop. It knows networks, codecs and losses; batches come from any ``BatchSource``.

The folder of a run holds ``best.safetensors`` and ``last.safetensors`` (detectors), ``checkpoint.pt`` (the state for
``resume``), ``metrics.jsonl`` and ``tensorboard/``. If several processes train (see ``distributed``), they share each
batch, and only the main process validates and writes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from centerdet import distributed
from centerdet.evaluation.metrics import LabelledImages
from centerdet.evaluation.report import EvaluationReport
from centerdet.files import make_folder
from centerdet.folder_lock import lock_folder
from centerdet.model.centernet import CenterNet
from centerdet.model.codec import Codec
from centerdet.model.losses import CenterLoss, LossTerms
from centerdet.model.types import Batch, check_batch
from centerdet.training.config import TrainingConfig
from centerdet.training.interrupts import catch_interrupts, explain_write_errors
from centerdet.training.logger import MetricLogger, OnLog
from centerdet.training.optim import learning_rate
from centerdet.training.progress import Progress
from centerdet.training.run_state import TrainingRun


class BatchSource(Protocol):
    """Training batches: ``source[step]`` is the ``Batch`` of a step, from 0 to ``steps - 1``.

    The same step must always give the same batch: exact resuming depends on it. A list of batches is a source.
    """

    def __getitem__(self, step: int) -> Batch:
        """Returns batch ``step``."""
        ...


@runtime_checkable
class ScheduledSource(BatchSource, Protocol):
    """Batches that change in the course of a run, and hence follow its schedule, which may be ahead of its steps."""

    def at_place(self, step: int, place: float) -> Batch:
        """Returns batch ``step`` of a run that is at that place of its schedule, at least ``step``."""
        ...


def fit(
    network: CenterNet,
    codec: Codec,
    criterion: CenterLoss,
    source: BatchSource,
    validation: LabelledImages,
    *,
    config: TrainingConfig,
    directory: str | Path,
    device: torch.device | str = "cpu",
    intensity_range: tuple[float, float] | None = None,
    resume: bool = False,
    settings: dict[str, Any] | None = None,
    on_log: OnLog | None = None,
) -> EvaluationReport:
    """Trains a network and leaves the run in a folder.

    Args:
        network: Initialised network, trained in place. Afterwards it holds the last weights, without averaging.
        codec: Codec for the network's stride.
        criterion: The loss.
        source: The batches, ``source[step]``; on any device.
        validation: Labelled images ``(H, W)``, the same throughout the run.
        config: Settings of the loop.
        directory: The run's folder; made if missing.
        device: Where to train.
        intensity_range: Pixel values of the validation images, and of later ones, that become 0 and 1; ``None``: the
            full scale of the image's type.
        resume: Continue from the folder's checkpoint. Without it, a folder with results of a run is an error.
        settings: Further plain values to keep with checkpoint and weights. A resumed run must have the same settings,
            and the same configs of network, codec, loss and loop.
        on_log: Called with the step and the values that are logged, such as ``{"loss/total": 0.5}``, in the main
            process only. An error in it stops the run.

    Returns:
        The best validation report; ``best.safetensors`` holds its weights and threshold.

    Raises:
        ValueError: If there is nothing to resume, a run would be overwritten, another process trains into the folder,
            the settings differ, the first batch is not valid, or the processes cannot share it equally.
        OSError: If the run's folder can no longer be written; the last checkpoint stays.
        FloatingPointError: If the loss is not finite; the last checkpoint stays, and the batch is kept for ``replay``.
        KeyboardInterrupt: On Ctrl-C or SIGTERM, after a checkpoint.
    """
    settings = {
        "network": network.config,
        "codec": codec.config,
        "loss": criterion.config,
        "training": config,
        "intensity_range": intensity_range,
        **(settings or {}),
    }
    run = TrainingRun(network, codec, criterion, config, Path(directory), torch.device(device), to_plain(settings))
    is_main = distributed.is_main_process()
    if not resume:
        make_folder(run.directory)
    with lock_folder(run.directory) if is_main else nullcontext():
        run.start(resume=resume)
        if not run.is_over:  # resuming a finished run changes nothing
            with (
                catch_interrupts() as interrupted,
                MetricLogger(run.directory, resume_from=run.step, on_log=on_log) if is_main else nullcontext() as log,
            ):
                _run_steps(run, source, validation, log, interrupted)
    return EvaluationReport(**distributed.broadcast(run.best)["report"])


def local_share(batch: Batch) -> Batch:
    """Returns this process's share of a batch: every ``world_size()``-th image.

    Raises:
        ValueError: If the batch cannot be shared equally.
    """
    processes = distributed.world_size()
    if processes == 1:
        return batch
    if len(batch.images) % processes:
        raise ValueError(
            f"{processes} processes cannot share a batch of {len(batch.images)} equally; "
            "choose a batch_size that is a multiple of their number"
        )
    return Batch(*(part[distributed.rank() :: processes] for part in batch))


def _run_steps(
    run: TrainingRun,
    source: BatchSource,
    validation: LabelledImages,
    logger: MetricLogger | None,
    interrupted: Callable[[], bool],
) -> None:
    """Does the remaining steps; only the main process has a logger."""
    first, config = run.step, run.config
    best = run.best.get("ap", 0.0)
    with Progress(run.schedule, step=run.step, best=best, silent=logger is None) as progress:
        while not run.is_over:
            start, place = time.monotonic(), run.place
            batch = local_share(_draw(source, run.step, place))
            if run.step == first:
                check_batch(batch)
            terms = run.train_step(batch)
            run.schedule.seconds += time.monotonic() - start
            stop = distributed.any_process(interrupted(), run.device)
            if logger is not None:
                report = _write_due(run, terms, validation, logger, place=place, stop=stop)
                progress.update(run.step, terms.total, report)
            run.share_schedule()
            if stop and not run.is_over:
                raise KeyboardInterrupt(
                    f"stopped after step {run.step} of {config.steps}, all saved; continue with resume (--resume)"
                )


def _draw(source: BatchSource, step: int, place: float) -> Batch:
    return source.at_place(step, place) if isinstance(source, ScheduledSource) else source[step]


def _write_due(
    run: TrainingRun, terms: LossTerms, validation: LabelledImages, logger: MetricLogger, *, place: float, stop: bool
) -> EvaluationReport | None:
    """Logs, validates and checkpoints as far as it is due after the step, which led here from ``place``."""
    config, report = run.config, None
    with explain_write_errors(f"after step {run.step}", run.directory):
        if run.step % config.log_every == 0:
            logger.log_losses(run.step, terms, learning_rate(run.place, config, config.steps))
        if run.schedule.validation_is_due(place, run.place):
            report = run.validate(validation, logger)
        if stop or run.is_over or run.step % config.checkpoint_every == 0:
            run.checkpoint()
    return report


def to_plain(settings: dict[str, Any]) -> dict[str, Any]:
    """Converts configs to dicts and tuples to lists, so that a file returns equal settings."""
    return json.loads(json.dumps(settings, default=asdict))
