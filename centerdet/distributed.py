"""Data-parallel training in several processes, as ``torchrun`` starts them.

Every function also works in a single process, where it does nothing. Each process computes the loss of its share of a
batch. Sums over the whole batch are taken as means over the processes, so that N processes compute what one process
would compute with the whole batch.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

TIMEOUT = timedelta(hours=2)  # the other processes wait this long at most while the main one validates
_POLL_SECONDS = 0.2


@contextmanager
def init_distributed(device: torch.device) -> Iterator[torch.device]:
    """Joins the process group of ``torchrun``, if it started this process, and leaves it at the end.

    Args:
        device: The kind of device. With ``cuda``, each process on a machine gets its own GPU.

    Yields:
        The device of this process.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        yield device
    finally:
        dist.destroy_process_group()


def wait_for_main_process() -> None:
    """Returns when the main process has called this too, however long it works alone.

    Call it last, after ``init_distributed``. A ``torchrun`` whose processes have ended waits five minutes for those on
    other machines. If it holds the connection of all, its end stops the others, and the main process with them.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return
    store, number, _ = next(dist.rendezvous("env://"))
    key = f"centerdet/finished/{os.environ['TORCHELASTIC_RUN_ID']}/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}"
    if number == 0:
        store.set(key, "")
    while not store.check([key]):
        time.sleep(_POLL_SECONDS)


def world_size() -> int:
    """Returns the number of processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Returns the number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_main_process() -> bool:
    """Whether this is the process that validates and writes files."""
    return rank() == 0


class _AllReduceMean(torch.autograd.Function):
    """The mean over all processes.

    The gradient is the mean of the gradients, since the loss is the mean of all processes' losses.
    """

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total / world_size()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return _AllReduceMean.forward(context, gradient)


def all_reduce_mean(values: Tensor) -> Tensor:
    """Returns the mean of the processes' values, the same in each of them; differentiable."""
    return values if world_size() == 1 else _AllReduceMean.apply(values)


def match_strides(network: nn.Module) -> None:
    """Gives gradients their parameters' strides, also along dimensions of size 1, where torch warns of a difference."""
    for parameter in network.parameters():

        def restride(gradient: Tensor, parameter: nn.Parameter = parameter) -> Tensor:
            is_same = gradient.is_contiguous() and parameter.is_contiguous()  # in memory
            return gradient.as_strided(parameter.shape, parameter.stride()) if is_same else gradient

        parameter.register_hook(restride)


def any_process(flag: bool, device: torch.device) -> bool:
    """Whether the flag is set in any process; ``device`` is this process's."""
    return bool(all_reduce_mean(torch.tensor(float(flag), device=device)) > 0) if world_size() > 1 else flag


def broadcast(value: Any) -> Any:
    """Returns the main process's plain value in every process; waits until the main process has called this."""
    values = [value]
    if world_size() > 1:
        dist.broadcast_object_list(values)
    return values[0]
