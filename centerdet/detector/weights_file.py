"""Weights file of a detector: safetensors, with everything but the tensors as JSON in the header.

Reading a file never executes any of it. The header holds a SHA-256 digest of the rest, which reveals damage of a single
bit. The digest is not a signature: whoever changes a file on purpose can change the digest as well.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from centerdet.detector.calibration import Calibration
from centerdet.detector.checked_tensors import build_module
from centerdet.detector.refined import RefinementConfig
from centerdet.detector.second_stage import SecondStageHeader, SecondStageSetup
from centerdet.files import open_regular, write_atomically
from centerdet.model.centernet import CenterNet, NetworkConfig
from centerdet.model.codec import CodecConfig
from centerdet.strict_yaml import parse

if TYPE_CHECKING:
    from centerdet.detector.detector import Detector

_FORMAT = "centerdet weights 4"
MAX_BYTES = 2**30  # of a file, which is read as a whole; the accurate weights have 4 million


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """The settings in the header; ``strict_yaml.parse`` checks their types and ranges."""

    network: NetworkConfig
    codec: CodecConfig
    threshold: float
    calibration: Calibration
    metadata: dict[str, Any]
    intensity_range: tuple[float, float] | None = None
    refinement: RefinementConfig | None = None
    second_stage: SecondStageHeader | None = None
    auto_noise_level: bool = False


def write_detector(path: str | Path, detector: Detector) -> None:
    """Writes a detector atomically: afterwards the file is the complete new one or the old one."""
    header = {
        "network": asdict(detector.network.config),
        "codec": asdict(detector.codec.config),
        "threshold": detector.threshold,
        "calibration": asdict(detector.calibration),
        "intensity_range": detector.intensity_range,
        "refinement": detector.refinement and asdict(detector.refinement),
        "second_stage": detector.second_stage and asdict(detector.second_stage.header()),
        "auto_noise_level": detector.noise_level == "auto",
        "metadata": detector.metadata,
    }
    tensors = dict(detector.network.state_dict())
    if detector.second_stage is not None:
        tensors |= detector.second_stage.to_tensors()
    write_weights(path, tensors, header)


def read_detector(path: str | Path) -> tuple[CenterNet, CodecConfig, dict[str, Any]]:
    """Reads what ``write_detector`` wrote.

    Returns:
        The network, the settings of the codec, and the keyword arguments of ``Detector``, which it checks itself.

    Raises:
        ValueError: If the file is missing, damaged, not a weights file of this version, or a setting in it is invalid.
    """
    tensors, values = read_weights(path)
    header = parse(_Header, values)
    stage = None if header.second_stage is None else SecondStageSetup.from_weights(header.second_stage, tensors)
    network = build_network(tensors, header.network)
    settings = {
        "threshold": header.threshold,
        "calibration": header.calibration,
        "intensity_range": header.intensity_range,
        "refinement": header.refinement,
        "second_stage": stage,
        "auto_noise_level": header.auto_noise_level,
        "metadata": header.metadata,
    }
    return network, header.codec, settings


def build_network(tensors: dict[str, Tensor], config: NetworkConfig, *, finite: bool = True) -> CenterNet:
    """Makes a network with the given weights; it takes memory only if they fit its config.

    Args:
        tensors: Parameters and buffers by name.
        config: Settings of the network.
        finite: Whether all weights must be finite.

    Raises:
        ValueError: If names, shapes or types are not those of the network, or a weight is not finite.
    """
    return build_module(lambda: CenterNet(config), tensors, name="network", finite=finite)


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
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
        if size > MAX_BYTES:
            raise ValueError(f"it has {size:,} bytes, and at most {MAX_BYTES:,} are allowed")
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"not a complete safetensors file ({error}); give a file that Detector.save wrote") from None
    except ValueError as error:
        raise ValueError(f"{error}; give a file that Detector.save wrote") from None
    format = header.get("format")
    if format != _FORMAT:
        raise ValueError(f"its format is {format!r}, not {_FORMAT!r}; give a file that this version wrote")
    if header.pop("digest", None) != _digest(tensors, header):
        raise ValueError("its digest does not fit its content: the file is damaged or was changed; take another copy")
    del header["format"]
    try:
        return tensors, {name: json.loads(text) for name, text in header.items()}
    except RecursionError:
        raise ValueError("its header is nested too deeply; give a file that Detector.save wrote") from None


def _digest(tensors: dict[str, Tensor], header: dict[str, str]) -> str:
    """SHA-256 of names, types, shapes and values of the tensors and of the header, independent of their order."""
    digest = hashlib.sha256(json.dumps(sorted(header.items())).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
