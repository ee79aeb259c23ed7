"""Checks of a checkpoint's parts before a run takes them: types, ranges and shapes."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError
from torch import Tensor
from torch.optim import Optimizer

_STEP = Annotated[int, Field(strict=True, ge=0, le=10**9)]
_NUMBER = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_TYPES: dict[str, TypeAdapter[Any]] = {
    "step": TypeAdapter(_STEP),
    "threshold": TypeAdapter(Annotated[float, Field(strict=True, ge=0, le=1)]),
    "calibration": TypeAdapter(dict[str, _NUMBER]),
    "best": TypeAdapter(dict[str, Any]),
    "network": TypeAdapter(dict[str, Any]),
    "ema": TypeAdapter(dict[str, Any]),
    "schedule": TypeAdapter(dict[str, Any]),
    "optimizers": TypeAdapter(list[dict[str, Any]]),
}
_BEST: dict[str, TypeAdapter[Any]] = {
    "ap": TypeAdapter(_NUMBER),
    "step": TypeAdapter(_STEP),
    "report": TypeAdapter(dict[str, Any]),
}
_CHANGING = ("params", "lr")  # entries of an optimiser's group that differ between steps


def check_state(state: dict[str, Any]) -> None:
    """Checks types and ranges of a checkpoint's values.

    Raises:
        ValueError: If a value is of another type or out of range.
        KeyError: If a value is missing.
    """
    _check(state, _TYPES)
    if state["best"]:  # empty before the first validation
        _check(state["best"], _BEST)


def _check(values: dict[str, Any], types: dict[str, TypeAdapter[Any]]) -> None:
    for name, adapter in types.items():
        try:
            adapter.validate_python(values[name])
        except ValidationError as error:
            message, seen = error.errors()[0]["msg"], type(values[name]).__name__
            raise ValueError(f"{name} is invalid: {message}, got a value of type {seen}") from None


def restore_optimizer(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Restores the state of an optimiser that has the same settings.

    Raises:
        ValueError: If the state is that of an optimiser with other settings or parameters.
    """
    before = [_settings(group) for group in optimizer.param_groups]
    try:
        optimizer.load_state_dict(state)
    except Exception as error:  # torch checks little before it uses a value
        raise ValueError(f"the state of an optimiser is invalid ({type(error).__name__}: {error})") from None
    if [_settings(group) for group in optimizer.param_groups] != before:
        raise ValueError("the state of an optimiser has other settings than the config")
    for parameter, values in optimizer.state.items():
        shapes = [tuple(value.shape) if isinstance(value, Tensor) else () for value in values.values()]
        if any(shape not in (tuple(parameter.shape), ()) for shape in shapes):
            raise ValueError(f"the state of an optimiser has other shapes than {tuple(parameter.shape)}: {shapes}")


def _settings(group: dict[str, Any]) -> dict[str, str]:
    return {name: repr(value) for name, value in group.items() if name not in _CHANGING}
