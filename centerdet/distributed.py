"""Several processes that train one network, as ``torchrun`` starts them; everything here works alone, too.

A batch is shared equally. What the processes need to know of each other's share, they tell each other as means, so that
together they do what one process would do with the whole batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed

from centerdet.model.types import Batch


@contextmanager
def init_distributed(device: torch.device) -> Iterator[torch.device]:
    """Joins the processes that ``torchrun`` started, if it did; gives the device of this one.

    Args:
        device: A kind of device: with ``cuda``, each process on a machine gets a GPU of its own.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=timedelta(hours=2))  # the others wait while the first validates
    try:
        yield device
    finally:
        distributed.destroy_process_group()


def world_size() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def is_main_process() -> bool:
    """Whether this process is the one that writes files and validates."""
    return rank() == 0


def share(batch: Batch) -> Batch:
    """This process's part of a batch.

    Raises:
        ValueError: If the batch cannot be shared equally.
    """
    distributed = world_size()
    if distributed == 1:
        return batch
    if len(batch.images) % distributed:
        raise ValueError(
            f"{distributed} processes cannot share a batch of {len(batch.images)} equally; "
            "choose a batch_size that is a multiple of their number"
        )
    return Batch(*(part[rank() :: distributed] for part in batch))


class _Mean(torch.autograd.Function):
    """The mean over all processes; so is the gradient, where the loss is the mean of all processes' losses."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total / world_size()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return _Mean.forward(context, gradient)


def all_reduce_mean(values: Tensor) -> Tensor:
    """The mean of the processes' values, the same in all of them; differentiable."""
    return values if world_size() == 1 else _Mean.apply(values)


def any_process(flag: bool, device: torch.device) -> bool:
    """Whether a flag is up in any process."""
    return bool(all_reduce_mean(torch.tensor(float(flag), device=device)) > 0) if world_size() > 1 else flag


def broadcast(value: Any) -> Any:
    """The first process's plain value, in all of them, once it has come so far."""
    values = [value]
    if world_size() > 1:
        distributed.broadcast_object_list(values)
    return values[0]
