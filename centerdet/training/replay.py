"""Replay of a batch whose loss was not finite, as ``TrainingRun.train_step`` kept it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from centerdet.detector.detector import make_codec
from centerdet.detector.weights_file import build_network
from centerdet.model.centernet import NetworkConfig
from centerdet.model.codec import CodecConfig
from centerdet.model.losses import CenterLoss, LossConfig, LossTerms
from centerdet.model.types import Batch, Prediction
from centerdet.strict_yaml import parse
from centerdet.training.checkpoint import BATCH_FORMAT, read_state
from centerdet.training.config import TrainingConfig
from centerdet.training.run_state import TrainingRun


class Replay(NamedTuple):
    """A replayed step.

    Attributes:
        step: Number of steps done before it.
        batch: The batch, or one process's share of it.
        weights: The network's state by name. The statistics of the batch norms already include this batch.
        prediction: The network's output.
        terms: The loss terms.
    """

    step: int
    batch: Batch
    weights: dict[str, Tensor]
    prediction: Prediction
    terms: LossTerms

    def __str__(self) -> str:
        """Returns the ranges of images, boxes, maps and loss, one a line, with the images that are not finite."""
        parts = {**self.batch._asdict(), **{f"map of {name}": maps for name, maps in self.prediction._asdict().items()}}
        lines = [f"step {self.step}, {len(self.batch.images)} images of {tuple(self.batch.images.shape[-2:])} px"]
        broken = [name for name, value in self.weights.items() if not torch.isfinite(value).all()]
        lines.append(f"weights: {'not finite: ' + ', '.join(broken) if broken else 'finite'}")
        lines += [f"{name}: {_describe(values)}" for name, values in parts.items()]
        return "\n".join(lines + [f"loss, {name}: {value.item():g}" for name, value in self.terms._asdict().items()])


def replay(path: str | Path, *, device: torch.device | str = "cpu") -> Replay:
    """Repeats the forward pass and the loss of a step with the same weights, batch and precision.

    Args:
        path: The ``nonfinite-0.pt`` in a run's folder.
        device: Where to compute; a device of another kind than the run's rounds differently.

    Raises:
        ValueError: If the file is missing, damaged or of another format.
    """
    state = read_state(Path(path), BATCH_FORMAT)
    try:
        run = _make_run(state["configs"], state["weights"], torch.device(device))
        batch = _check_batch(Batch(**state["batch"]), state["step"])
        predictions: list[Prediction] = []
        run.network.register_forward_hook(lambda module, inputs, output: predictions.append(output))
        with torch.no_grad():
            terms = run.losses(batch)
    except (AttributeError, KeyError, MemoryError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"cannot replay {path}: {reason}; give the nonfinite-0.pt of a run's folder") from None
    return Replay(state["step"], batch, state["weights"], predictions[0], terms)


def _check_batch(batch: Batch, step: Any) -> Batch:
    """Checks the shapes and types of a kept batch."""
    count = len(batch.images)
    shapes = batch.images.ndim == 4 and batch.images.shape[1] == 1 and batch.boxes.shape == (count, 5)
    kinds = batch.images.dtype == batch.boxes.dtype == torch.float32 and batch.has_object.dtype == torch.bool
    if not (count and shapes and kinds and batch.has_object.shape == (count,) and type(step) is int):
        found = [f"{tensor.dtype} {tuple(tensor.shape)}" for tensor in batch]
        raise ValueError(f"its batch must be images (B, 1, H, W), boxes (B, 5) and has_object (B,), got {found}")
    return batch


def _make_run(configs: dict[str, Any], weights: dict[str, Tensor], device: torch.device) -> TrainingRun:
    network = build_network(weights, parse(NetworkConfig, configs["network"]), finite=False)
    codec = make_codec(network, parse(CodecConfig, configs["codec"]))
    criterion, config = CenterLoss(parse(LossConfig, configs["loss"])), parse(TrainingConfig, configs["training"])
    return TrainingRun(network, codec, criterion, config, Path(), device, {})


def _describe(values: Tensor) -> str:
    """Returns the range of a tensor's finite values, and the numbers of the images in which it is not finite."""
    finite = torch.isfinite(values)
    known = values[finite].float()
    text = f"{known.min().item():g} to {known.max().item():g}" if len(known) else "nothing finite"
    broken = (~finite).flatten(1).any(1).nonzero().flatten().tolist() if values.ndim > 1 else []
    return f"{text}, not finite in image {', '.join(map(str, broken))}" if broken else text
