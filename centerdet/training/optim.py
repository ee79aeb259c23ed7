"""Optimisers, the moving average of the weights, and mixed precision.

EMA of weights: Polyak & Juditsky (1992); AdamW: Loshchilov & Hutter, arXiv 1711.05101; Muon: Jordan et al. (2024),
scaled as in Liu et al., "Muon is Scalable", arXiv 2502.16982.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from centerdet.model.equivariant import GroupConv
from centerdet.training.config import TrainingConfig


def ema_update(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """A moving average that reaches back over a tenth of the run at most: it forgets what the run began with."""

    def update(averages: Sequence[Tensor], weights: Sequence[Tensor], count: Tensor | int) -> None:
        early = (1 + int(count)) / (10 + int(count))
        get_ema_multi_avg_fn(min(decay, early))(averages, weights, count)

    return update


def make_optimizers(network: nn.Module, config: TrainingConfig) -> list[torch.optim.Optimizer]:
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


def autocast(device: torch.device, precision: str) -> torch.autocast | nullcontext:
    if precision == "bfloat16" or (precision == "auto" and fast_bfloat16(device)):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


def fast_bfloat16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16; elsewhere emulation makes it slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return device.type == "cpu" and any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)
