"""What a run keeps of its tensors, checkpoints above all: written atomically, read without executing anything in it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from centerdet.files import write_atomically

_FORMAT = "centerdet checkpoint 3"


def write_state(path: Path, format: str, state: dict[str, Any]) -> None:
    """Writes tensors and plain values; after a crash the old file or the whole new one is there."""
    buffer = io.BytesIO()
    torch.save({"format": format, **state}, buffer)
    write_atomically(path, buffer.getvalue())


def read_state(path: Path, format: str) -> dict[str, Any]:
    """Reads what ``write_state`` wrote in the same format.

    Raises:
        ValueError: If it is missing, damaged, or of another format.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can make the reader fail in any way
        raise ValueError(f"{path} is missing, damaged or no {format!r} ({type(error).__name__})") from None
    if not isinstance(state, dict) or state.get("format") != format:
        raise ValueError(f"{path} is not a {format!r}")
    return state


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes a checkpoint; after a crash the old one or the whole new one is there."""
    write_state(path, _FORMAT, state)


def load_checkpoint(path: Path, *, settings: dict[str, Any] | None) -> dict[str, Any]:
    """Reads what ``save_checkpoint`` wrote; with ``settings``, only if the run had the same.

    Raises:
        ValueError: If it is missing, damaged, or from a run with other settings.
    """
    if not path.exists():
        raise ValueError(f"nothing to resume: there is no {path}; start the run without resume (--resume)")
    try:
        state = read_state(path, _FORMAT)
    except ValueError as error:
        raise ValueError(f"cannot resume: {error}") from None
    if settings is not None and (changed := _differences(state.get("settings"), settings)):
        raise ValueError(
            f"cannot resume: settings differ from the run's in {', '.join(changed)}; "
            "use the same config, or start a new run in another folder"
        )
    return state


def _differences(old: Any, new: Any, where: str = "") -> list[str]:
    """Dotted names of what differs between two nested dicts."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return [] if old == new else [where or "everything"]
    return [
        name
        for key in sorted({*old, *new})
        for name in _differences(old.get(key), new.get(key), f"{where}.{key}" if where else str(key))
    ]
