"""The training loop. It knows networks, codecs and losses, but neither scenes nor files of images: a source gives batches.

A run is a folder: ``best.safetensors`` and ``last.safetensors`` (detectors), ``checkpoint.pt`` (all that ``resume``
needs), ``metrics.jsonl`` and ``tensorboard/``. Everything in a step follows from the seed, the step's number and the
checkpoint, so a resumed run goes exactly the way of one that was never stopped.

EMA of weights: Polyak & Juditsky (1992); warm-up and cosine: Loshchilov & Hutter, arXiv 1608.03983; AdamW: 1711.05101.
"""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from centerdet.box import RotatedBox
from centerdet.checkpoint import load_checkpoint, save_checkpoint
from centerdet.codec import Codec
from centerdet.detector import Detector
from centerdet.journal import Journal
from centerdet.losses import CenterLoss, LossTerms
from centerdet.maps import Batch
from centerdet.metrics import Report, choose_threshold, collect, summarise
from centerdet.network import CenterNet


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """Settings of the loop.

    Attributes:
        seed: Of everything: initial weights and the series of training batches.
        steps: Optimiser steps.
        learning_rate: At its peak.
        warmup_steps: Steps of linear warm-up, before the cosine to zero.
        weight_decay: Of AdamW.
        clip_norm: Largest norm of the gradient.
        ema_decay: Of the moving average that is validated and saved.
        precision: ``bfloat16`` autocasts; ``auto`` does so where the device is fast at it.
        log_every: Steps between lines of the journal.
        validate_every: Steps between validations; a checkpoint follows each.
        checkpoint_every: Steps between further checkpoints.
    """

    seed: int = 0
    steps: int = 20_000
    learning_rate: float = 4e-3
    warmup_steps: int = 300
    weight_decay: float = 0.01
    clip_norm: float = 5.0
    ema_decay: float = 0.999
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    log_every: int = 50
    validate_every: int = 1000
    checkpoint_every: int = 500

    def __post_init__(self) -> None:
        counts = (self.steps, self.log_every, self.validate_every, self.checkpoint_every)
        if min(counts) < 1 or self.warmup_steps < 0 or self.seed < 0:
            raise ValueError(f"steps and intervals must be at least 1, warmup_steps and seed at least 0, got {self}")
        if self.learning_rate <= 0 or self.clip_norm <= 0 or self.weight_decay < 0 or not 0 <= self.ema_decay < 1:
            raise ValueError(
                "learning_rate and clip_norm must be above 0, weight_decay at least 0, "
                f"ema_decay in [0, 1), got {self}"
            )


class Source(Protocol):
    """Where training batches come from: batch ``step`` must be the same whenever it is asked for."""

    def __getitem__(self, step: int) -> Batch: ...


def fit(
    network: CenterNet,
    codec: Codec,
    criterion: CenterLoss,
    source: Source,
    validation: Sequence[tuple[NDArray, RotatedBox | None]],
    *,
    config: TrainingConfig,
    directory: str | Path,
    device: torch.device | str = "cpu",
    resume: bool = False,
    settings: dict[str, Any] | None = None,
) -> Report:
    """Trains a network and leaves the run in a folder.

    Args:
        network: Initialised; it holds the last raw (not averaged) weights afterwards.
        codec: For the network's stride.
        criterion: The loss.
        source: Training batches; on any device, they are moved.
        validation: Labelled images that never change during the run.
        config: Settings of the loop.
        directory: The run's folder; made if missing.
        device: Where to train.
        resume: Continue from the folder's checkpoint; without it, a folder with a checkpoint is an error.
        settings: Kept in the checkpoint; a resumed run must have the same.

    Returns:
        The best validation report; its threshold and weights are in ``best.safetensors``.

    Raises:
        ValueError: If there is nothing to resume, something would be overwritten, or the settings differ.
        FloatingPointError: If the loss is not finite; the last checkpoint stays.
        KeyboardInterrupt: On Ctrl-C, after a checkpoint.
    """
    run = _Run(network, codec, criterion, config, Path(directory), torch.device(device), settings or {})
    run.start(resume=resume)
    with _interrupts() as interrupted, Journal(run.directory, resume_from=run.step) as journal:
        with tqdm(total=config.steps, initial=run.step, unit="step", disable=None) as bar:
            while run.step < config.steps:
                terms = run.train_step(source[run.step])
                bar.update()
                if run.step % config.log_every == 0:
                    journal.log_losses(run.step, terms, run.learning_rate())
                    bar.set_postfix(loss=f"{float(terms.total):.3f}", best=f"{run.best.get('ap', 0):.3f}")
                last = run.step == config.steps
                if run.step % config.validate_every == 0 or last:
                    run.validate(validation, journal)
                if interrupted() or last or run.step % config.checkpoint_every == 0:
                    run.checkpoint()
                if interrupted() and not last:
                    raise KeyboardInterrupt(f"stopped after step {run.step}")
    return Report(**run.best["report"])


class _Run:
    """The state of a run: what changes from step to step, and how it is kept."""

    def __init__(
        self,
        network: CenterNet,
        codec: Codec,
        criterion: CenterLoss,
        config: TrainingConfig,
        directory: Path,
        device: torch.device,
        settings: dict[str, Any],
    ) -> None:
        self.network = network.to(device, memory_format=torch.channels_last).train()
        self.codec, self.criterion, self.config = codec, criterion, config
        self.directory, self.device, self.settings = directory, device, settings
        self.average = AveragedModel(
            self.network, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay), use_buffers=True
        )
        self.optimizer = torch.optim.AdamW(_parameter_groups(network, config.weight_decay), lr=config.learning_rate)
        self.step = 0
        self.best: dict[str, Any] = {}

    def start(self, *, resume: bool) -> None:
        path = self.directory / "checkpoint.pt"
        if resume:
            state = load_checkpoint(path, settings=self.settings)
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.best = state["step"], state["best"]
        elif path.exists():
            raise ValueError(f"{self.directory} already holds a run; continue it with resume, or name another folder")
        self.directory.mkdir(parents=True, exist_ok=True)

    def checkpoint(self) -> None:
        state = {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "settings": self.settings,
        }
        save_checkpoint(self.directory / "checkpoint.pt", state)

    def learning_rate(self) -> float:
        """Linear warm-up, then a cosine to zero."""
        config = self.config
        if self.step < config.warmup_steps:
            return config.learning_rate * (self.step + 1) / config.warmup_steps
        done = (self.step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
        return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))

    def train_step(self, batch: Batch) -> LossTerms:
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        images, boxes, present = (tensor.to(self.device) for tensor in batch)
        target = self.codec.encode(boxes, present, images.shape[-2:])
        with _autocast(self.device, self.config.precision):
            prediction = self.network(images.to(memory_format=torch.channels_last))
        terms = self.criterion(prediction, target)
        if not torch.isfinite(terms.total):
            raise FloatingPointError(
                f"the loss of step {self.step} is {float(terms.total)}; lower learning_rate or clip_norm "
                "and resume from the last checkpoint"
            )
        self.optimizer.zero_grad(set_to_none=True)
        terms.total.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip_norm)
        self.optimizer.step()
        self.average.update_parameters(self.network)
        self.step += 1
        return LossTerms(*(term.detach() for term in terms))

    def validate(self, validation: Sequence[tuple[NDArray, RotatedBox | None]], journal: Journal) -> None:
        """Scores the averaged weights at their best threshold, and keeps them if they are the best so far."""
        detector = Detector(self.average.module, self.codec, threshold=0.0)
        outcomes = collect(detector, validation, progress=True)
        detector.threshold = choose_threshold(outcomes)
        report = summarise(outcomes.above(detector.threshold))
        detector.report = {"step": self.step, "validation": report.to_dict(), "settings": self.settings}
        journal.log_validation(self.step, report, detector, [image for image, _ in validation[:8]])
        detector.save(self.directory / "last.safetensors")
        if report.ap > self.best.get("ap", -1.0):
            self.best = {"ap": report.ap, "step": self.step, "report": report.to_dict()}
            detector.save(self.directory / "best.safetensors")


def _parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Decay the kernels alone: biases and normalisation have no scale to be held down."""
    kernels = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    return [{"params": kernels, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def _autocast(device: torch.device, precision: str) -> torch.autocast | nullcontext:
    if precision == "bfloat16" or (precision == "auto" and _fast_bfloat16(device)):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


def _fast_bfloat16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16; elsewhere emulation makes it slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return device.type == "cpu" and any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)


@contextmanager
def _interrupts() -> Iterator[Any]:
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
