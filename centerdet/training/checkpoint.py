"""A run's files of tensors: checkpoints, and batches whose loss was not finite.

They are written atomically, and read without executing any code in them.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from centerdet.files import write_atomically
from centerdet.model.types import Batch

CHECKPOINT_FORMAT = "centerdet checkpoint 3"
BATCH_FORMAT = "centerdet kept batch 2"


def write_state(path: Path, format: str, state: dict[str, Any]) -> None:
    """Writes tensors and plain values atomically: a crash leaves the old file or the complete new one.

    Args:
        path: The file.
        format: Name and version of the format; stored as ``state["format"]``.
        state: Nested dicts and lists of tensors and plain values.

    Raises:
        OSError: If the file cannot be written.
    """
    buffer = io.BytesIO()
    torch.save({"format": format, **state}, buffer)
    write_atomically(path, buffer.getvalue())


def read_state(path: Path, format: str) -> dict[str, Any]:
    """Reads a file that ``write_state`` wrote in the same format; tensors are on the CPU.

    Raises:
        ValueError: If the file is missing, damaged, or of another format.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can make the reader fail in any way
        raise ValueError(f"{path} is missing, damaged or not a {format!r} ({type(error).__name__})") from None
    if not isinstance(state, dict) or state.get("format") != format:
        found = state.get("format") if isinstance(state, dict) else type(state).__name__
        raise ValueError(f"{path} is not a {format!r}, but a {found!r}")
    return state


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes a checkpoint atomically; errors as in ``write_state``."""
    write_state(path, CHECKPOINT_FORMAT, state)


def load_checkpoint(path: Path, *, settings: dict[str, Any] | None) -> dict[str, Any]:
    """Reads a checkpoint.

    Args:
        path: The file that ``save_checkpoint`` wrote.
        settings: The settings that the run must have had; ``None``: any.

    Raises:
        ValueError: If the file is missing, damaged, of another format, or from a run with other settings.
    """
    if not path.exists():
        raise ValueError(f"nothing to resume: there is no {path}; start a new run, without resume (--resume)")
    try:
        state = read_state(path, CHECKPOINT_FORMAT)
    except ValueError as error:
        raise ValueError(f"cannot resume: {error}") from None
    if settings is not None and (changed := _differences(state.get("settings"), settings)):
        raise ValueError(
            f"cannot resume: settings differ from the run's in {', '.join(changed)}; "
            "use the same config, or start a new run in another folder (--out)"
        )
    return state


def save_batch(path: Path, batch: Batch, *, step: int, weights: dict[str, Tensor], configs: dict[str, Any]) -> None:
    """Writes a batch whose loss was not finite, with the weights and configs that ``replay`` needs.

    Args:
        path: The file.
        batch: The batch, on any device.
        step: Number of steps done before.
        weights: The network's state.
        configs: Plain values of the sections ``network``, ``codec``, ``loss`` and ``training``.

    Raises:
        OSError: If the file cannot be written.
    """
    tensors = {name: tensor.cpu() for name, tensor in batch._asdict().items()}
    write_state(path, BATCH_FORMAT, {"step": step, "batch": tensors, "weights": weights, "configs": configs})


def _differences(old: Any, new: Any, where: str = "") -> list[str]:
    """Returns the dotted names of the values that differ between two nested dicts."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return [] if old == new else [where or "everything"]
    return [
        name
        for key in sorted({*old, *new})
        for name in _differences(old.get(key), new.get(key), f"{where}.{key}" if where else str(key))
    ]
