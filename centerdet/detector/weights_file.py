"""The weights file: safetensors, with all that is not a tensor as JSON in the header. Nothing is ever executed.

The header also holds a SHA-256 digest of all the rest, so that damage of a single bit is noticed. It is no signature:
whoever changes a file on purpose can change its digest, too.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from centerdet.files import write_atomically

_FORMAT = "centerdet weights 4"


def write_weights(path: str | Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Writes a weights file atomically: either the whole new file is there afterwards, or the old one.

    Args:
        path: The file.
        tensors: Parameters and buffers by name.
        header: Plain values by name.
    """
    tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    header = {"format": _FORMAT} | {name: json.dumps(value) for name, value in header.items()}
    write_atomically(path, save(tensors, header | {"digest": _digest(tensors, header)}))


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
        reason = "it is a folder" if Path(path).is_dir() else reason
        raise ValueError(f"{reason}; give a file that Detector.save wrote") from None
    format = header.get("format")
    if format != _FORMAT:
        raise ValueError(f"its format is {format!r}, not {_FORMAT!r}; give a file that this Detector.save wrote")
    if header.pop("digest", None) != _digest(tensors, header):
        raise ValueError("its digest does not fit its content: the file was damaged or changed; take another copy")
    del header["format"]
    return tensors, {name: json.loads(text) for name, text in header.items()}


def _digest(tensors: dict[str, Tensor], header: dict[str, str]) -> str:
    """SHA-256 over every name, type, shape, value and header entry, in an order that no writer decides."""
    digest = hashlib.sha256(json.dumps(sorted(header.items())).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
