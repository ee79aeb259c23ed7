"""Muon in single precision.

``torch.optim.Muon`` multiplies its matrices in bfloat16. Most CPUs emulate that: for a second stage, the optimiser then
takes 40 % of a step, in single precision 6 % (two AVX2 cores).

Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024); scaled as in Liu et al., "Muon is
Scalable", arXiv 2502.16982.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

RMS = 0.2  # root mean square of AdamW's updates, which Muon's then have as well: Liu et al., section 2.2


class Muon(torch.optim.Muon):
    """``torch.optim.Muon`` with Nesterov momentum and AdamW's scale: the same settings, the same state.

    Args:
        params: Matrices.
        lr: Learning rate, on AdamW's scale.
        weight_decay: Decoupled weight decay.
    """

    def __init__(self, params: Sequence[Tensor], *, lr: float, weight_decay: float) -> None:
        super().__init__(params, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Updates all matrices that have a gradient; there is no closure."""
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(weight.grad)
                average = state["momentum_buffer"]
                average.lerp_(weight.grad, 1 - momentum)
                update = orthogonalise(
                    weight.grad.lerp(average, momentum), group["ns_coefficients"], group["ns_steps"], group["eps"]
                )
                weight.mul_(1 - rate * group["weight_decay"])
                weight.add_(update, alpha=-rate * RMS * math.sqrt(max(weight.shape)))


def orthogonalise(matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """Moves the singular values of a matrix to about 1 (0.7 to 1.2), by Newton-Schulz iterations.

    Args:
        matrix: ``(m, n)``.
        coefficients: Of the quintic iteration.
        steps: Number of iterations.
        eps: Smallest norm that the matrix is divided by.

    Returns:
        ``(m, n)``, with the singular vectors of ``matrix``; singular values far below the largest one stay smaller.
    """
    a, b, c = coefficients
    is_tall = matrix.shape[0] > matrix.shape[1]
    result = matrix.T if is_tall else matrix
    result = result / result.norm().clamp(min=eps)  # all singular values are at most 1
    for _ in range(steps):
        gram = result @ result.T
        result = torch.addmm(result, torch.addmm(gram, gram, gram, beta=b, alpha=c), result, beta=a)
    return result.T if is_tall else result
