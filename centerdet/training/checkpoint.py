"""A run's files of tensors: checkpoints, and batches whose loss was not finite.

They are written atomically, and read without executing any code in them. A SHA-256 digest of the file stands at its
end, as the comment of a zip archive, and reveals damage of a single bit. It is not a signature.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from centerdet.files import read_regular, write_atomically
from centerdet.model.types import Batch

CHECKPOINT_NAME = "checkpoint.pt"  # in the folder of a run, and in that of its second stage
CHECKPOINT_FORMAT = "centerdet checkpoint 3"
BATCH_FORMAT = "centerdet kept batch 2"
MAX_BYTES = 4 * 2**30  # of a file, which is read as a whole
_DIGEST_LENGTH = 64  # hexadecimal digits of SHA-256
_COMMENT_LENGTH = slice(-2, None)  # the last two bytes of a zip archive without a comment hold the comment's length


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
    write_atomically(path, add_digest(buffer.getvalue()))


def add_digest(archive: bytes) -> bytes:
    """Returns a zip archive with the SHA-256 of its bytes as its comment."""
    content = bytearray(archive)
    content[_COMMENT_LENGTH] = _DIGEST_LENGTH.to_bytes(2, "little")
    return bytes(content) + hashlib.sha256(content).hexdigest().encode()


def read_state(path: Path, format: str) -> dict[str, Any]:
    """Reads a file that ``write_state`` wrote in the same format; tensors are on the CPU.

    Raises:
        ValueError: If the file is missing, damaged, or of another format.
    """
    try:
        content = read_regular(path, max_bytes=MAX_BYTES)
        _check_archive(content)
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        _check_tensors(state, set())
    except Exception as error:  # a damaged file can make the reader fail in any way
        reason = str(error) if type(error) is ValueError else type(error).__name__
        raise ValueError(f"{path} is missing, damaged or not a {format!r} ({reason}); give a file of a run") from None
    if not isinstance(state, dict) or state.get("format") != format:
        found = state.get("format") if isinstance(state, dict) else type(state).__name__
        raise ValueError(f"{path} is not a {format!r}, but a {str(found)[:60]!r}; give a file of a run")
    return state


def _check_archive(content: bytes) -> None:
    """Checks that a zip archive has no compressed entry, which could grow a thousandfold, and that its digest fits."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.file_size > len(content) for entry in entries):
        raise ValueError("it has compressed entries, and this library writes none; do not use it")
    if hashlib.sha256(content[:-_DIGEST_LENGTH]).hexdigest().encode() != content[-_DIGEST_LENGTH:]:
        raise ValueError("its digest does not fit its content: take another copy")


def _check_tensors(state: Any, seen: set[int]) -> None:
    """Refuses tensors that claim more values than the file holds, as views that repeat a value can."""
    if id(state) in seen:
        return
    seen.add(id(state))
    if isinstance(state, Tensor) and state.numel() * state.element_size() > state.untyped_storage().nbytes():
        raise ValueError(f"it has a tensor of shape {tuple(state.shape)} with fewer values than that")
    if isinstance(state, dict | list | tuple):
        for value in state.values() if isinstance(state, dict) else state:
            _check_tensors(value, seen)


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
    if not path.is_symlink() and not path.exists():
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
        return [] if _is_plain(old) and old == new else [where or "everything"]
    return [
        name
        for key in sorted({*old, *new}, key=str)
        for name in _differences(old.get(key), new.get(key), f"{where}.{key}" if where else str(key))
    ]


def _is_plain(value: Any) -> bool:
    """Whether a value is plain, so that it can be compared: a stranger's file may hold tensors instead."""
    if isinstance(value, dict):
        return all(_is_plain(part) for part in value.values())
    if isinstance(value, list | tuple):
        return all(_is_plain(part) for part in value)
    return isinstance(value, str | int | float | bool | None)
