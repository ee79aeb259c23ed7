"""The training loop. It knows networks, codecs and losses, but no scenes and no image files: a source gives batches.

A run is a folder: ``best.safetensors`` and ``last.safetensors`` (detectors), ``checkpoint.pt`` (all that ``resume``
needs), ``metrics.jsonl`` and ``tensorboard/``. Several processes (``distributed``) share each batch, and the first one
alone validates and writes.
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch
from tqdm import tqdm

from centerdet import distributed
from centerdet.evaluation.metrics import LabelledImages
from centerdet.evaluation.report import EvaluationReport
from centerdet.model.centernet import CenterNet
from centerdet.model.codec import Codec
from centerdet.model.losses import CenterLoss, LossTerms
from centerdet.model.types import Batch, check_batch
from centerdet.training.config import TrainingConfig
from centerdet.training.logger import MetricLogger
from centerdet.training.run import TrainingRun


class BatchSource(Protocol):
    """Where training batches come from: ``source[step]`` is the ``Batch`` of that step, from 0 to ``steps - 1``.

    The same step must always give the same batch, or a resumed run goes another way. A list of batches will do.
    """

    def __getitem__(self, step: int) -> Batch:
        """Returns batch ``step``."""
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
) -> EvaluationReport:
    """Trains a network and leaves the run in a folder.

    Args:
        network: Initialised; it holds the last raw (not averaged) weights afterwards.
        codec: For the network's stride.
        criterion: The loss.
        source: ``source[step]`` is the ``Batch`` of each step from 0; on any device, it is moved.
        validation: A sequence of labelled images ``(H, W)`` that never change during the run.
        config: Settings of the loop.
        directory: The run's folder; made if missing.
        device: Where to train.
        intensity_range: Pixel values of the validation images, and of later ones, that become 0 and 1; ``None``: full scale.
        resume: Continue from the folder's checkpoint; without it, a folder with a checkpoint is an error.
        settings: Further plain values to keep with checkpoint and weights. A resumed run must have the same ones, and
            the same configs of network, codec, loss and loop.

    Returns:
        The best validation report; its threshold and weights are in ``best.safetensors``.

    Raises:
        ValueError: If there is nothing to resume, something would be overwritten, the settings differ, or the first
            batch is not a proper one, or not to be shared equally.
        OSError: If the run's folder can no longer be written to; the last checkpoint stays.
        FloatingPointError: If the loss is not finite; the last checkpoint stays, and the batch is kept for ``replay``.
        KeyboardInterrupt: On Ctrl-C, after a checkpoint.
    """
    settings = {
        "network": network.config,
        "codec": codec.config,
        "loss": criterion.config,
        "training": config,
        "intensity": intensity_range,
        **(settings or {}),
    }
    run = TrainingRun(network, codec, criterion, config, Path(directory), torch.device(device), _plain(settings))
    run.start(resume=resume)
    start, writes = run.step, distributed.is_main_process()
    with (
        _interrupts() as interrupted,
        MetricLogger(run.directory, resume_from=start) if writes else nullcontext() as logger,
        tqdm(total=config.steps, initial=start, unit="step", disable=None if writes else True) as bar,
    ):
        while run.step < config.steps:
            batch = local_share(source[run.step])
            if run.step == start:
                check_batch(batch)
            terms = run.train_step(batch)
            bar.update()
            if run.step % config.log_every == 0:
                bar.set_postfix(loss=f"{float(terms.total):.3f}", best=f"{run.best.get('ap', 0):.3f}")
            stop = distributed.any_process(interrupted(), run.device)
            if logger is not None:
                try:
                    _write_what_is_due(run, terms, validation, logger, stop=stop)
                except OSError as error:
                    raise OSError(
                        f"after step {run.step}: {error}; the last checkpoint in {run.directory} is intact: make the "
                        "folder writable, with space on its disk, and go on with resume (--resume)"
                    ) from error
            if stop and run.step < config.steps:
                raise KeyboardInterrupt(
                    f"stopped after step {run.step} of {config.steps}, all saved; go on with resume"
                )
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


def _write_what_is_due(
    run: TrainingRun, terms: LossTerms, validation: LabelledImages, logger: MetricLogger, *, stop: bool
) -> None:
    config, last = run.config, run.step == run.config.steps
    if run.step % config.log_every == 0:
        logger.log_losses(run.step, terms, run.learning_rate())
    if run.step % config.validate_every == 0 or last:
        run.validate(validation, logger)
    if stop or last or run.step % config.checkpoint_every == 0:
        run.checkpoint()


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """Configs as dicts and tuples as lists, so that settings survive a file unchanged."""
    return json.loads(json.dumps(settings, default=asdict))


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Collects Ctrl-C and SIGTERM, so that a step in progress ends before the run does."""
    seen: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # signals belong to the main thread
        return
    before = {number: signal.signal(number, lambda n, _: seen.append(n)) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(seen)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
