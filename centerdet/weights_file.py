"""The weights file: safetensors, with all that is not a tensor as JSON in the header. Nothing is ever executed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from centerdet.files import write_atomically

_FORMAT = "centerdet weights 2"


def write_weights(path: str | Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Writes a weights file atomically: either the whole new file is there afterwards, or the old one.

    Args:
        path: The file.
        tensors: Parameters and buffers by name.
        facts: Plain values by name.
    """
    header = {"format": _FORMAT} | {name: json.dumps(value) for name, value in facts.items()}
    write_atomically(path, save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, header))


def read_weights(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads tensors and facts back.

    Raises:
        ValueError: If the file is missing, damaged, or not a weights file of this version.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (OSError, SafetensorError) as error:
        reason = "there is no such file" if not Path(path).exists() else f"not a whole safetensors file ({error})"
        raise ValueError(f"{reason}; give a file that Detector.save wrote") from None
    if header.pop("format", None) != _FORMAT:
        raise ValueError(f"not a {_FORMAT!r} file; give one that this version's Detector.save wrote")
    return tensors, {name: json.loads(text) for name, text in header.items()}
