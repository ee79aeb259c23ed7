"""The training loop. It knows networks, codecs and losses, but no scenes and no image files: a source gives batches.

A run is a folder: ``best.safetensors`` and ``last.safetensors`` (detectors), ``checkpoint.pt`` (all that ``resume``
needs), ``metrics.jsonl`` and ``tensorboard/``.
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch
from tqdm import tqdm

from centerdet.codec import Codec
from centerdet.journal import Journal
from centerdet.losses import CenterLoss
from centerdet.maps import Batch, check_batch
from centerdet.metrics import LabelledImages
from centerdet.network import CenterNet
from centerdet.report import Report
from centerdet.run import TrainingConfig, TrainingRun


class Source(Protocol):
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
    source: Source,
    validation: LabelledImages,
    *,
    config: TrainingConfig,
    directory: str | Path,
    device: torch.device | str = "cpu",
    intensity: tuple[float, float] | None = None,
    resume: bool = False,
    settings: dict[str, Any] | None = None,
) -> Report:
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
        intensity: Pixel values of the validation images, and of later ones, that become 0 and 1; ``None``: full scale.
        resume: Continue from the folder's checkpoint; without it, a folder with a checkpoint is an error.
        settings: Further plain values to keep with checkpoint and weights. A resumed run must have the same ones, and
            the same configs of network, codec, loss and loop.

    Returns:
        The best validation report; its threshold and weights are in ``best.safetensors``.

    Raises:
        ValueError: If there is nothing to resume, something would be overwritten, the settings differ, or the first
            batch is not a proper one.
        FloatingPointError: If the loss is not finite; the last checkpoint stays.
        KeyboardInterrupt: On Ctrl-C, after a checkpoint.
    """
    settings = {
        "network": network.config,
        "codec": codec.config,
        "loss": criterion.config,
        "training": config,
        "intensity": intensity,
        **(settings or {}),
    }
    run = TrainingRun(network, codec, criterion, config, Path(directory), torch.device(device), _plain(settings))
    run.start(resume=resume)
    first = run.step
    with (
        _interrupts() as interrupted,
        Journal(run.directory, resume_from=run.step) as journal,
        tqdm(total=config.steps, initial=run.step, unit="step", disable=None) as bar,
    ):
        while run.step < config.steps:
            batch = source[run.step]
            if run.step == first:
                check_batch(batch)
            terms = run.train_step(batch)
            bar.update()
            if run.step % config.log_every == 0:
                journal.log_losses(run.step, terms, run.learning_rate())
                bar.set_postfix(loss=f"{float(terms.total):.3f}", best=f"{run.best.get('ap', 0):.3f}")
            last = run.step == config.steps
            if run.step % config.validate_every == 0 or last:
                run.validate(validation, journal)
            stop = interrupted()  # asked once: a signal in between must not skip the checkpoint
            if stop or last or run.step % config.checkpoint_every == 0:
                run.checkpoint()
            if stop and not last:
                raise KeyboardInterrupt(
                    f"stopped after step {run.step} of {config.steps}, all saved; go on with resume"
                )
    return Report(**run.best["report"])


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
