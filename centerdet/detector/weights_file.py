"""Weights file of a detector: safetensors, with everything but the tensors as JSON in the header.

Reading a file never executes any of it. The header holds a SHA-256 digest of the rest, which reveals damage of a single
bit. The digest is not a signature: whoever changes a file on purpose can change the digest as well.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from centerdet.detector.calibration import Calibration
from centerdet.detector.refined import RefinementConfig
from centerdet.files import write_atomically
from centerdet.model.centernet import CenterNet, NetworkConfig
from centerdet.model.codec import CodecConfig
from centerdet.refine.prior import ScenePrior

if TYPE_CHECKING:
    from centerdet.detector.detector import Detector

_FORMAT = "centerdet weights 4"


def write_detector(path: str | Path, detector: Detector) -> None:
    """Writes a detector atomically: afterwards the file is the complete new one or the old one."""
    header = {
        "network": asdict(detector.network.config),
        "codec": asdict(detector.codec.config),
        "threshold": detector.threshold,
        "calibration": asdict(detector.calibration),
        "intensity_range": detector.intensity_range,
        "refinement": detector.refinement and asdict(detector.refinement),
        "metadata": detector.metadata,
    }
    write_weights(path, detector.network.state_dict(), header)


def read_detector(path: str | Path) -> tuple[CenterNet, CodecConfig, dict[str, Any]]:
    """Reads what ``write_detector`` wrote.

    Returns:
        The network, the settings of the codec, and the keyword arguments of ``Detector``, which it checks itself.

    Raises:
        ValueError: If the file is missing, damaged, or not a weights file of this version.
        AttributeError: If a part of the header has another structure; also ``KeyError`` and ``TypeError``.
        RuntimeError: If the weights are not those of the network in the header.
    """
    tensors, header = read_weights(path)
    network = _build_network(tensors, NetworkConfig(**_to_tuples(header["network"])))
    codec = CodecConfig(**_to_tuples(header["codec"]))
    if not isinstance(codec.decode_window, int):
        raise ValueError(f"decode_window must be a whole number, got {codec.decode_window}")
    if not isinstance(header["metadata"], dict):
        raise ValueError(f"metadata must be an object, got {header['metadata']!r}")
    settings = {
        "threshold": header["threshold"],
        "calibration": Calibration(**header["calibration"]),
        "intensity_range": tuple(header["intensity_range"]) if header.get("intensity_range") else None,
        "refinement": _build_refinement(header.get("refinement")),
        "metadata": header["metadata"],
    }
    return network, codec, settings


def _build_network(tensors: dict[str, Tensor], config: NetworkConfig) -> CenterNet:
    network = CenterNet(config)
    for name, parameter in network.state_dict().items():
        if name in tensors and tensors[name].dtype != parameter.dtype:
            raise ValueError(f"{name} is {tensors[name].dtype}, must be {parameter.dtype}")
        if name in tensors and not torch.isfinite(tensors[name]).all():
            raise ValueError(f"{name} holds NaN or infinity")
    network.load_state_dict(tensors)
    return network


def _build_refinement(header: dict[str, Any] | None) -> RefinementConfig | None:
    if header is None:
        return None
    scene, calibration = ScenePrior(**_to_tuples(header["scene"])), Calibration(**header["calibration"])
    return RefinementConfig(scene=scene, threshold=header["threshold"], calibration=calibration)


def _to_tuples(values: Any) -> Any:
    """Turns the lists of JSON into the tuples of the configs, at all levels."""
    if isinstance(values, dict):
        return {name: _to_tuples(value) for name, value in values.items()}
    return tuple(map(_to_tuples, values)) if isinstance(values, list) else values


def write_weights(path: str | Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Writes tensors and header atomically.

    Args:
        path: The file.
        tensors: Parameters and buffers by name.
        header: JSON values by name.
    """
    tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    header = {"format": _FORMAT} | {name: json.dumps(value) for name, value in header.items()}
    write_atomically(path, save(tensors, header | {"digest": _digest(tensors, header)}))


def read_weights(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads tensors and header, as ``write_weights`` takes them.

    Raises:
        ValueError: If the file is missing, damaged, or not a weights file of this version.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (OSError, SafetensorError) as error:
        reason = "there is no such file" if not Path(path).exists() else f"not a complete safetensors file ({error})"
        reason = "it is a folder" if Path(path).is_dir() else reason
        raise ValueError(f"{reason}; give a file that Detector.save wrote") from None
    format = header.get("format")
    if format != _FORMAT:
        raise ValueError(f"its format is {format!r}, not {_FORMAT!r}; give a file that this version wrote")
    if header.pop("digest", None) != _digest(tensors, header):
        raise ValueError("its digest does not fit its content: the file is damaged or was changed; take another copy")
    del header["format"]
    return tensors, {name: json.loads(text) for name, text in header.items()}


def _digest(tensors: dict[str, Tensor], header: dict[str, str]) -> str:
    """SHA-256 of names, types, shapes and values of the tensors and of the header, independent of their order."""
    digest = hashlib.sha256(json.dumps(sorted(header.items())).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
