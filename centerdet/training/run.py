"""The state of a training run: what changes from step to step, how a step goes, and how it is kept.

Everything in a step follows from the batch and this state, so a resumed run goes exactly the way of one that was never
stopped.

EMA of weights: Polyak & Juditsky (1992); warm-up and cosine: Loshchilov & Hutter, arXiv 1608.03983; AdamW: 1711.05101;
Muon: Jordan et al. (2024), scaled as in Liu et al., "Muon is Scalable", arXiv 2502.16982.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from centerdet import distributed
from centerdet.detector.calibration import Calibration
from centerdet.detector.detector import Detector
from centerdet.evaluation.metrics import LabelledImages, calibrate
from centerdet.files import check_folder, remove_leftovers
from centerdet.model.centernet import CenterNet
from centerdet.model.codec import Codec
from centerdet.model.losses import CenterLoss, LossTerms
from centerdet.model.types import Batch
from centerdet.training.checkpoint import load_checkpoint, save_checkpoint, write_state
from centerdet.training.config import TrainingConfig
from centerdet.training.logger import MetricLogger
from centerdet.training.optim import autocast, ema_update, make_optimizers

KEPT_BATCH = "centerdet kept batch 2"  # the format of the file


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
        together = distributed.world_size() > 1
        self._shared = DistributedDataParallel(self.network) if together else self.network
        self.codec, self.criterion, self.config = codec, criterion, config
        self.directory, self.device, self.settings = directory, device, settings
        self.ema = AveragedModel(self.network, multi_avg_fn=ema_update(config.ema_decay), use_buffers=True)
        self.optimizers = make_optimizers(network, config)
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
                self.ema.load_state_dict(state["average"])
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
        if distributed.is_main_process():
            remove_leftovers(self.directory)

    def checkpoint(self) -> None:
        """Writes all that ``start`` needs to go on from here, and the detector as it is now."""
        self._detector({"step": self.step, "settings": self.settings}).save(self.directory / "last.safetensors")
        state = {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.ema.state_dict(),
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
        total, terms = terms.total, LossTerms(*distributed.all_reduce_mean(torch.stack(terms).detach()))
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
        self.ema.update_parameters(self.network)
        self.step += 1
        return terms

    def losses(self, batch: Batch) -> LossTerms:
        """What the network says of a batch, compared with the truth."""
        images, boxes, has_object = (tensor.to(self.device) for tensor in batch)
        target = self.codec.encode(boxes, has_object, images.shape[-2:])
        with autocast(self.device, self.config.precision):
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
        path = self.directory / f"nonfinite-{distributed.rank()}.pt"
        write_state(path, KEPT_BATCH, state)
        return path

    def validate(self, validation: LabelledImages, logger: MetricLogger) -> None:
        """Scores the averaged weights at their best threshold, and keeps them if they are the best so far."""
        detector = self._detector({})
        with warnings.catch_warnings():  # a young network may be right nowhere
            warnings.filterwarnings("ignore", message="scores stay uncalibrated")
            report = calibrate(detector, validation, progress=True)
        self.threshold, self.calibration = detector.threshold, detector.calibration
        detector.metadata = {"step": self.step, "validation": report.to_dict(), "settings": self.settings}
        logger.log_validation(self.step, report, detector, [image for image, _ in validation[:4]])
        if report.ap > self.best.get("ap", -1.0):
            self.best = {"ap": report.ap, "step": self.step, "report": report.to_dict()}
            detector.save(self.directory / "best.safetensors")

    def _detector(self, metadata: dict[str, Any]) -> Detector:
        threshold, calibration = self.threshold, self.calibration
        return Detector(
            self.ema.module,
            self.codec,
            threshold=threshold,
            calibration=calibration,
            intensity_range=self.settings.get("intensity"),
            metadata=metadata,
        )
