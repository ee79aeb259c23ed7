"""The state of a training run: what changes from step to step, how a step goes, and how it is kept.

Everything in a step follows from the batch and this state, so a resumed run goes exactly the way of one that was never
stopped.

EMA of weights: Polyak & Juditsky (1992); warm-up and cosine: Loshchilov & Hutter, arXiv 1608.03983; AdamW: 1711.05101;
Muon: Jordan et al. (2024), scaled as in Liu et al., "Muon is Scalable", arXiv 2502.16982.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from centerdet import processes
from centerdet.calibration import Calibration
from centerdet.checkpoint import load_checkpoint, save_checkpoint, write_state
from centerdet.codec import Codec
from centerdet.detector import Detector
from centerdet.files import check_folder, remove_leftovers
from centerdet.journal import Journal
from centerdet.losses import CenterLoss, LossTerms
from centerdet.maps import Batch
from centerdet.metrics import LabelledImages, calibrate
from centerdet.network import CenterNet
from centerdet.symmetry import GroupConv

KEPT_BATCH = "centerdet kept batch 1"  # the format of the file


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """Settings of the loop.

    Attributes:
        seed: Of initial weights and of the series of training batches; whoever makes those two takes it from here.
        steps: Optimiser steps.
        learning_rate: At its peak.
        warmup_steps: Steps of linear warm-up, before the cosine to zero.
        weight_decay: Of the kernels.
        clip_norm: Largest norm of the gradient.
        ema_decay: Of the moving average that is validated and saved; less in the first steps, for short runs.
        precision: ``bfloat16`` autocasts; ``auto`` does so where the device is fast at it.
        log_every: Steps between lines of the journal.
        validate_every: Steps between validations.
        checkpoint_every: Steps between checkpoints.
    """

    seed: int = 0
    steps: int = 20_000
    learning_rate: float = 5e-3
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
        if min(counts) < 1 or self.warmup_steps < 0 or not 0 <= self.seed < 2**63:
            raise ValueError(
                "steps and intervals must be at least 1, warmup_steps at least 0, "
                f"seed must lie in 0..{2**63 - 1}, got {self}"
            )
        if self.learning_rate <= 0 or self.clip_norm <= 0 or self.weight_decay < 0 or not 0 <= self.ema_decay < 1:
            raise ValueError(
                f"learning_rate and clip_norm must be above 0, weight_decay at least 0, ema_decay in [0, 1), got {self}"
            )


class TrainingRun:
    """Network, its average, optimiser, progress and the best report so far; arguments as in ``training.fit``."""

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
        together = processes.count() > 1
        self._shared = DistributedDataParallel(self.network) if together else self.network
        self.codec, self.criterion, self.config = codec, criterion, config
        self.directory, self.device, self.settings = directory, device, settings
        self.average = AveragedModel(self.network, multi_avg_fn=_ema(config.ema_decay), use_buffers=True)
        self.optimizers = _optimizers(network, config)
        self.step = 0
        self.best: dict[str, Any] = {}
        self.threshold, self.calibration = 0.5, Calibration()  # of the last validation

    def start(self, *, resume: bool) -> None:
        """Makes the folder, or takes the state from its checkpoint; errors as in ``training.fit``."""
        path = self.directory / "checkpoint.pt"
        if resume:
            state = load_checkpoint(path, settings=self.settings)
            try:
                self.network.load_state_dict(state["network"])
                self.average.load_state_dict(state["average"])
                for optimizer, its_state in zip(self.optimizers, state["optimizers"], strict=True):
                    optimizer.load_state_dict(its_state)
                self.step, self.best, self.threshold = state["step"], state["best"], state["threshold"]
                self.calibration = Calibration(**state["calibration"])
            except (KeyError, TypeError, ValueError, RuntimeError) as error:
                reason = " ".join(str(error).split())[:200]
                raise ValueError(f"cannot resume: {path} does not fit this network: {reason}") from None
        elif path.exists():
            raise ValueError(
                f"{self.directory} already holds a run; go on with resume (--resume), or name another folder (--out)"
            )
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f"cannot make the run's folder {self.directory}: {error.strerror}; name another (--out)"
            ) from None
        check_folder(path)
        if processes.is_first():
            remove_leftovers(self.directory)

    def checkpoint(self) -> None:
        """Writes all that ``start`` needs to go on from here, and the detector as it is now."""
        self._detector({"step": self.step, "settings": self.settings}).save(self.directory / "last.safetensors")
        state = {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "best": self.best,
            "threshold": self.threshold,
            "calibration": asdict(self.calibration),
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
        """One optimiser step.

        Args:
            batch: This process's share of it.

        Returns:
            The loss of the whole batch.

        Raises:
            FloatingPointError: If the loss is not finite, in all processes; the weights are untouched, and the batch is
                in a file for ``replay``.
        """
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate()
        terms = self.losses(batch)
        total, terms = terms.total, LossTerms(*processes.mean(torch.stack(terms).detach()))
        if not torch.isfinite(terms.total):
            path = self._keep(batch)
            raise FloatingPointError(
                f"the loss of step {self.step} is {terms.total.item()}; its batch is kept: "
                f"'python tools/replay_batch.py {path}' shows where it stops being finite; if the batch is as it "
                "should be, start a new run, in another folder, with a lower learning_rate or clip_norm"
            )
        self.network.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip_norm)
        for optimizer in self.optimizers:
            optimizer.step()
        self.average.update_parameters(self.network)
        self.step += 1
        return terms

    def losses(self, batch: Batch) -> LossTerms:
        """What the network says of a batch, compared with the truth."""
        images, boxes, present = (tensor.to(self.device) for tensor in batch)
        target = self.codec.encode(boxes, present, images.shape[-2:])
        with _autocast(self.device, self.config.precision):
            prediction = self._shared(images)
        return self.criterion(prediction, target)

    def _keep(self, batch: Batch) -> Path:
        """Writes this process's share of a batch, with all that ``replay`` needs."""
        parts = {"network": self.network, "codec": self.codec, "loss": self.criterion, "training": self}
        state = {
            "step": self.step,
            "batch": {name: tensor.cpu() for name, tensor in batch._asdict().items()},
            "weights": self.network.state_dict(),
            "configs": {name: asdict(part.config) for name, part in parts.items()},
        }
        path = self.directory / f"nonfinite-{processes.rank()}.pt"
        write_state(path, KEPT_BATCH, state)
        return path

    def validate(self, validation: LabelledImages, journal: Journal) -> None:
        """Scores the averaged weights at their best threshold, and keeps them if they are the best so far."""
        detector = self._detector({})
        with warnings.catch_warnings():  # a young network may be right nowhere
            warnings.filterwarnings("ignore", message="scores stay uncalibrated")
            report = calibrate(detector, validation, progress=True)
        self.threshold, self.calibration = detector.threshold, detector.calibration
        detector.report = {"step": self.step, "validation": report.to_dict(), "settings": self.settings}
        journal.log_validation(self.step, report, detector, [image for image, _ in validation[:4]])
        if report.ap > self.best.get("ap", -1.0):
            self.best = {"ap": report.ap, "step": self.step, "report": report.to_dict()}
            detector.save(self.directory / "best.safetensors")

    def _detector(self, report: dict[str, Any]) -> Detector:
        threshold, calibration = self.threshold, self.calibration
        return Detector(
            self.average.module,
            self.codec,
            threshold=threshold,
            calibration=calibration,
            intensity=self.settings.get("intensity"),
            report=report,
        )


def _ema(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """A moving average that reaches back over a tenth of the run at most: it forgets what the run began with."""

    def update(averages: Sequence[Tensor], weights: Sequence[Tensor], count: Tensor | int) -> None:
        early = (1 + int(count)) / (10 + int(count))
        get_ema_multi_avg_fn(min(decay, early))(averages, weights, count)

    return update


def _optimizers(network: nn.Module, config: TrainingConfig) -> list[torch.optim.Optimizer]:
    """Muon for the group convolutions, whose weights are matrices; AdamW for all else.

    The decay is for the kernels alone: biases and normalisation have no scale to be held down.
    """
    matrices = [layer.weight for layer in network.modules() if isinstance(layer, GroupConv)]
    taken = {id(weight) for weight in matrices}
    others = [parameter for parameter in network.parameters() if id(parameter) not in taken]
    kernels = {"params": [parameter for parameter in others if parameter.ndim > 1]}
    undecayed = {"params": [parameter for parameter in others if parameter.ndim == 1], "weight_decay": 0.0}
    common = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    return [
        torch.optim.Muon(matrices, adjust_lr_fn="match_rms_adamw", **common),
        torch.optim.AdamW([kernels, undecayed], **common),
    ]


def _autocast(device: torch.device, precision: str) -> torch.autocast | nullcontext:
    if precision == "bfloat16" or (precision == "auto" and fast_bfloat16(device)):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


def fast_bfloat16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16; elsewhere emulation makes it slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return device.type == "cpu" and any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)
