"""Check of a torch device."""

from __future__ import annotations

import warnings

import torch


def check_device(device: torch.device | str) -> torch.device:
    """Returns a torch device that can compute on this machine.

    Args:
        device: The device, or its name, such as ``cpu`` or ``cuda:1``.

    Raises:
        ValueError: If there is no such device, or torch cannot use it here.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # about names that torch no longer knows
            torch.zeros((), device=device).item()
            return torch.device(device)
    except (RuntimeError, AssertionError, ImportError, TypeError) as error:
        reason = " ".join(str(error).split()).split(". ")[0][:150]
        name = str(device)
        raise ValueError(f"cannot use device {name!r}: {reason}; choose cpu, or a GPU that torch can use") from None
