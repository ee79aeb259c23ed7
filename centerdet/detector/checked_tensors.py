"""Modules filled with tensors of a file, after comparing them with what the module needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

ModuleType = TypeVar("ModuleType", bound=nn.Module)


def build_module(
    make: Callable[[], ModuleType], tensors: Mapping[str, Tensor], *, name: str, finite: bool = True
) -> ModuleType:
    """Makes a module with the given weights; it takes memory only if they fit.

    Args:
        make: Makes the module from its settings.
        tensors: Parameters and buffers by name.
        name: What the module is, for messages.
        finite: Whether all weights must be finite.

    Raises:
        ValueError: If names, shapes or types are not those of the module, or a weight is not finite.
    """
    with torch.device("meta"):  # has shapes, but no memory
        outline = make()
    for key, parameter in outline.state_dict().items():
        if key in tensors and tensors[key].dtype != parameter.dtype:
            raise ValueError(f"the {name}'s {key} is {tensors[key].dtype}, must be {parameter.dtype}")
        if finite and key in tensors and not torch.isfinite(tensors[key]).all():
            raise ValueError(f"the {name}'s {key} holds NaN or infinity; use other weights")
    try:
        outline.load_state_dict(dict(tensors), assign=True)  # compares names and shapes
    except RuntimeError as error:
        raise ValueError(f"the weights are not those of the {name} in its settings: {error}") from None
    module = make()
    module.load_state_dict(dict(tensors))
    return module
