"""The state of a training run: how a step changes it, how it is validated, and how it is kept.

A step depends only on this state and its batch. A resumed run is therefore identical to an uninterrupted one.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn, cast

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from centerdet import distributed
from centerdet.detector.calibration import Calibration
from centerdet.detector.detector import Detector
from centerdet.evaluation.calibrate import calibrate
from centerdet.evaluation.metrics import LabelledImages
from centerdet.evaluation.report import EvaluationReport
from centerdet.files import check_folder, make_folder, remove_leftovers
from centerdet.model.centernet import CenterNet
from centerdet.model.codec import Codec
from centerdet.model.losses import CenterLoss, LossTerms
from centerdet.model.types import Batch
from centerdet.training.checkpoint import CHECKPOINT_NAME, load_checkpoint, save_batch, save_checkpoint
from centerdet.training.config import TrainingConfig
from centerdet.training.logger import MetricLogger
from centerdet.training.new_run import check_no_run
from centerdet.training.optim import autocast, ema_update, learning_rate, make_optimizers
from centerdet.training.restore import check_state, restore_optimizer
from centerdet.training.schedule import Schedule

SAMPLE_IMAGES = 4  # validation images whose heatmaps are logged


class TrainingRun:
    """Network, moving average, optimisers, progress and the best report so far; arguments as in ``trainer.fit``.

    Attributes:
        step: Number of steps done.
        schedule: What place in the schedule that is.
        ema: The ``AveragedModel`` of the network, which is validated and saved.
        best: AP, step and report of the best validation; empty before the first one.
    """

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
        layout = torch.channels_last
        self.network = network.to(device, memory_format=layout).train()  # type: ignore[call-overload]  # torch's stubs
        if is_shared := distributed.world_size() > 1:
            distributed.match_strides(self.network)
        self._parallel: nn.Module = DistributedDataParallel(self.network) if is_shared else self.network
        self.codec, self.criterion, self.config = codec, criterion, config
        self.directory, self.device, self.settings = directory, device, settings
        self.ema = AveragedModel(self.network, multi_avg_fn=ema_update(config.ema_decay), use_buffers=True)
        self.optimizers = make_optimizers(network, config)
        self.step = 0
        self.schedule = Schedule(
            steps=config.steps,
            validate_every=config.validate_every,
            max_minutes=config.max_minutes,
            patience=config.patience,
        )
        self.best: dict[str, Any] = {}
        self.threshold, self.calibration = 0.5, Calibration()  # of the last validation

    def start(self, *, resume: bool) -> None:
        """Creates the folder, or restores the state from the checkpoint in it.

        Raises:
            ValueError: If there is nothing to resume, the checkpoint does not fit, the folder already holds a run, or
                the folder cannot be written.
        """
        path = self.directory / CHECKPOINT_NAME
        if resume:
            self._restore(path)
        else:
            check_no_run(self.directory)
        make_folder(self.directory)
        check_folder(path)
        if distributed.is_main_process():
            remove_leftovers(self.directory)

    def _restore(self, path: Path) -> None:
        state = load_checkpoint(path, settings=self.settings)
        state.setdefault("schedule", self.schedule.state())  # checkpoints before 0.2 have none
        try:
            check_state(state)
            self.network.load_state_dict(state["network"])
            self.ema.load_state_dict(state["ema"])
            for optimizer, optimizer_state in zip(self.optimizers, state["optimizers"], strict=True):
                restore_optimizer(optimizer, optimizer_state)
            self.step, self.best, self.threshold = state["step"], state["best"], state["threshold"]
            self.calibration = Calibration(**state["calibration"])
            self.schedule.restore(state["schedule"])
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"cannot resume: {path} does not fit this network: {reason}; start a new run in another folder (--out)"
            ) from None

    def checkpoint(self) -> None:
        """Writes the whole state for ``start``, and the detector as it is now.

        Raises:
            OSError: If a file cannot be written; the previous one stays.
        """
        self._detector({"step": self.step, "settings": self.settings}).save(self.directory / "last.safetensors")
        state = {
            "step": self.step,
            "network": self.network.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "best": self.best,
            "threshold": self.threshold,
            "calibration": asdict(self.calibration),
            "schedule": self.schedule.state(),
            "settings": self.settings,
        }
        save_checkpoint(self.directory / CHECKPOINT_NAME, state)

    @property
    def place(self) -> float:
        """The place of the next step in the schedule."""
        return self.schedule.place(self.step)

    @property
    def is_over(self) -> bool:
        """Whether the schedule has ended."""
        return self.place >= self.config.steps

    def share_schedule(self) -> None:
        """Gives all processes the main process's schedule, if it depends on time or validations."""
        if self.config.max_minutes is None and self.config.patience is None:
            return
        state = distributed.broadcast(self.schedule.state())
        if not distributed.is_main_process():
            self.schedule.restore(state)

    def train_step(self, batch: Batch) -> LossTerms:
        """Does one optimiser step.

        Args:
            batch: This process's share of the batch.

        Returns:
            The loss terms of the whole batch.

        Raises:
            FloatingPointError: If the loss is not finite, in all processes. The weights do not change, and the batch is
                in a file for ``replay``.
        """
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(self.place, self.config, self.config.steps)
        terms = self.losses(batch)
        total, terms = terms.total, LossTerms(*distributed.all_reduce_mean(torch.stack(terms).detach()))
        if not torch.isfinite(terms.total):
            self._fail(batch, terms.total.item())
        self.network.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip_norm)
        for optimizer in self.optimizers:
            optimizer.step()
        self.ema.update_parameters(self.network)
        self.step += 1
        return terms

    def losses(self, batch: Batch) -> LossTerms:
        """Returns the loss terms of a batch, on any device, for the current weights."""
        images, boxes, has_object = (tensor.to(self.device) for tensor in batch)
        height, width = images.shape[-2:]
        target = self.codec.encode(boxes, has_object, (height, width))
        with autocast(self.device, self.config.precision):
            prediction = self._parallel(images)
        return self.criterion(prediction, target)

    def _fail(self, batch: Batch, loss: float) -> NoReturn:
        """Keeps this process's share of a batch, and raises the error about its loss."""
        parts = {"network": self.network, "codec": self.codec, "loss": self.criterion, "training": self}
        configs = {name: asdict(part.config) for name, part in parts.items()}
        path = self.directory / f"nonfinite-{distributed.rank()}.pt"
        save_batch(path, batch, step=self.step, weights=self.network.state_dict(), configs=configs)
        raise FloatingPointError(
            f"the loss of step {self.step} is {loss}, it must be finite; its batch is kept: "
            f"'python tools/replay_batch.py {path}' shows where it stops being finite; if the images and boxes of the "
            "batch are correct, start a new run, in another folder, with a lower learning_rate or clip_norm"
        )

    def validate(self, validation: LabelledImages, logger: MetricLogger) -> EvaluationReport:
        """Scores the averaged weights at their best threshold, logs the report, and saves the best weights so far."""
        start, detector = time.monotonic(), self._detector({})
        with warnings.catch_warnings():  # in the first steps, no detection may be correct
            warnings.filterwarnings("ignore", message="scores stay uncalibrated")
            report = calibrate(detector, validation, progress=True)
        self.threshold, self.calibration = detector.threshold, detector.calibration
        detector.metadata = {"step": self.step, "validation": report.to_dict(), "settings": self.settings}
        logger.log_validation(self.step, report, detector, [image for image, _ in validation[:SAMPLE_IMAGES]])
        improved = report.ap > self.best.get("ap", -1.0)
        if improved:
            self.best = {"ap": report.ap, "step": self.step, "report": report.to_dict()}
            detector.save(self.directory / "best.safetensors")
        self.schedule.validated(self.step, improved=improved, seconds=time.monotonic() - start)
        return report

    def _detector(self, metadata: dict[str, Any]) -> Detector:
        """Creates the detector of the averaged weights."""
        return Detector(
            cast(CenterNet, self.ema.module),
            self.codec,
            threshold=self.threshold,
            calibration=self.calibration,
            intensity_range=self.settings.get("intensity_range"),
            metadata=metadata,
        )
