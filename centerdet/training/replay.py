"""Looking again at a batch whose loss was not finite, as ``TrainingRun.train_step`` kept it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from centerdet.detector.detector import make_codec
from centerdet.model.centernet import CenterNet, NetworkConfig
from centerdet.model.codec import CodecConfig
from centerdet.model.losses import CenterLoss, LossConfig, LossTerms
from centerdet.model.types import Batch, Prediction
from centerdet.strict_yaml import parse
from centerdet.training.checkpoint import read_state
from centerdet.training.config import TrainingConfig
from centerdet.training.run import KEPT_BATCH, TrainingRun


class Replay(NamedTuple):
    """What happened in the step.

    Attributes:
        step: Steps done before.
        batch: What the network was shown.
        weights: What it was made of, by name; the batch norms' statistics already include this batch.
        prediction: What it said.
        terms: What that cost.
    """

    step: int
    batch: Batch
    weights: dict[str, Tensor]
    prediction: Prediction
    terms: LossTerms

    def __str__(self) -> str:
        """The way of the batch through the step, a line for each part; what is not finite is pointed out."""
        parts = {**self.batch._asdict(), **{f"map of {name}": maps for name, maps in self.prediction._asdict().items()}}
        lines = [f"step {self.step}, {len(self.batch.images)} images of {tuple(self.batch.images.shape[-2:])} px"]
        broken = [name for name, value in self.weights.items() if not torch.isfinite(value).all()]
        lines.append(f"weights: {'not finite: ' + ', '.join(broken) if broken else 'finite'}")
        lines += [f"{name}: {_describe(values)}" for name, values in parts.items()]
        return "\n".join(lines + [f"loss, {name}: {value.item():g}" for name, value in self.terms._asdict().items()])


def replay(path: str | Path, *, device: torch.device | str = "cpu") -> Replay:
    """Does the step again: the same weights, batch, loss and precision.

    Args:
        path: The ``nonfinite-0.pt`` of a run's folder.
        device: Where to; another one than the run's rounds differently.

    Raises:
        ValueError: If the file is missing, damaged or of another kind.
    """
    state = read_state(Path(path), KEPT_BATCH)
    try:
        run = _run_of(state["configs"], torch.device(device))
        run.network.load_state_dict(state["weights"])
        batch = Batch(**state["batch"])
        output: list[Prediction] = []
        run.network.register_forward_hook(lambda module, inputs, output: output.append(output))
        with torch.no_grad():
            terms = run.losses(batch)
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"cannot replay {path}: {' '.join(str(error).split())[:200]}") from None
    return Replay(state["step"], batch, state["weights"], output[0], terms)


def _run_of(configs: dict[str, Any], device: torch.device) -> TrainingRun:
    network = CenterNet(parse(NetworkConfig, configs["network"]))
    codec = make_codec(network, parse(CodecConfig, configs["codec"]))
    criterion, config = CenterLoss(parse(LossConfig, configs["loss"])), parse(TrainingConfig, configs["training"])
    return TrainingRun(network, codec, criterion, config, Path(), device, {})


def _describe(values: Tensor) -> str:
    """The range of a tensor, and in which images it is not finite."""
    finite = torch.isfinite(values)
    known = values[finite].float()
    text = f"{known.min().item():g} to {known.max().item():g}" if len(known) else "nothing finite"
    broken = (~finite).flatten(1).any(1).nonzero().flatten().tolist() if values.ndim > 1 else []
    return f"{text}, not finite in image {', '.join(map(str, broken))}" if broken else text
