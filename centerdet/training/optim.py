"""Optimisers, learning rate, moving average of the weights, and mixed precision.

Sources: AdamW: Loshchilov & Hutter, arXiv 1711.05101; warm-up and cosine: Loshchilov & Hutter, arXiv 1608.03983;
average of the weights: Polyak & Juditsky (1992).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from centerdet.model.equivariant import GroupConv
from centerdet.model.mirror import MirrorConv
from centerdet.training.muon import Muon
from centerdet.training.optim_config import OptimConfig

_EMA_DELAY = 10  # steps; the decay starts at 1/10 and grows as (1 + n) / (10 + n): the rule of TensorFlow's EMA


def make_optimizers(network: nn.Module, config: OptimConfig) -> list[torch.optim.Optimizer]:
    """Creates Muon for the equivariant convolutions, whose weights are matrices, and AdamW for all other parameters.

    Only kernels have weight decay: the scale of biases and normalisation needs no limit.
    """
    matrices = [layer.weight for layer in network.modules() if isinstance(layer, GroupConv | MirrorConv)]
    ids = {id(weight) for weight in matrices}
    others = [parameter for parameter in network.parameters() if id(parameter) not in ids]
    kernels: dict[str, Any] = {"params": [parameter for parameter in others if parameter.ndim > 1]}
    undecayed: dict[str, Any] = {
        "params": [parameter for parameter in others if parameter.ndim == 1],
        "weight_decay": 0.0,
    }
    rate, decay = config.learning_rate, config.weight_decay
    return [
        Muon(matrices, lr=rate, weight_decay=decay),
        torch.optim.AdamW([kernels, undecayed], lr=rate, weight_decay=decay),
    ]


def learning_rate(place: float, config: OptimConfig, steps: int) -> float:
    """Returns the learning rate at a place of a schedule of ``steps``, from 0: a linear warm-up, a cosine to zero."""
    if place < config.warmup_steps:
        return min(config.learning_rate, config.learning_rate * (place + 1) / config.warmup_steps)
    done = min(1.0, (place - config.warmup_steps) / max(1, steps - config.warmup_steps))
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def ema_update(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """Creates the update of an exponential moving average, for ``AveragedModel(multi_avg_fn=...)``.

    The decay is smaller in the first steps. The average spans at most about a tenth of the run so far, and hence
    forgets the initial weights even in a short run.
    """

    def update(averages: Sequence[Tensor], weights: Sequence[Tensor], count: Tensor | int) -> None:
        early = (1 + int(count)) / (_EMA_DELAY + int(count))
        get_ema_multi_avg_fn(min(decay, early))(averages, weights, count)

    return update


def autocast(device: torch.device, precision: str) -> torch.autocast | nullcontext:
    """Returns the context of a forward pass in ``OptimConfig.precision``."""
    if precision == "bfloat16" or (precision == "auto" and fast_bfloat16(device)):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


def fast_bfloat16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16; where it is emulated, it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return device.type == "cpu" and any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)
