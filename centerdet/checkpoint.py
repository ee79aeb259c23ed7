"""Training checkpoints: written atomically, read without executing anything in them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from centerdet.files import write_atomically

_FORMAT = "centerdet checkpoint 1"


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes tensors and plain values; after a crash the old file or the whole new one is there."""
    buffer = io.BytesIO()
    torch.save({"format": _FORMAT, **state}, buffer)
    write_atomically(path, buffer.getvalue())


def load_checkpoint(path: Path, *, settings: dict[str, Any]) -> dict[str, Any]:
    """Reads what ``save_checkpoint`` wrote.

    Raises:
        ValueError: If it is missing, damaged, or from a run with other settings.
    """
    if not path.exists():
        raise ValueError(f"nothing to resume: there is no {path}; start the run without resume")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can make the reader fail in any way
        raise ValueError(f"cannot resume: {path} is damaged or not a checkpoint ({type(error).__name__})") from None
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        raise ValueError(f"cannot resume: {path} is not a {_FORMAT!r}")
    if state["settings"] != settings:
        changed = sorted(key for key in settings if state["settings"].get(key) != settings[key])
        raise ValueError(
            f"cannot resume: settings differ from the run's in {', '.join(changed) or 'missing parts'}; "
            "use the same config, or start a new run"
        )
    return state
