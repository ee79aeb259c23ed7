"""Execution providers of onnxruntime: what runs an exported model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Provider = str | tuple[str, dict[str, Any]]  # the name of an execution provider, alone or with its options
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def provider_name(provider: Provider) -> str:
    """The name of an execution provider, given alone or with its options."""
    return provider if isinstance(provider, str) else provider[0]


def check_providers(providers: Sequence[Provider]) -> list[Provider]:
    """Checks that the installed onnxruntime has execution providers, and returns them.

    Raises:
        ValueError: If one is missing, or there is none.
    """
    import onnxruntime

    available = onnxruntime.get_available_providers()
    checked: list[Provider] = [providers] if isinstance(providers, str) else list(providers)
    missing = [provider_name(provider) for provider in checked if provider_name(provider) not in available]
    if missing or not checked:
        raise ValueError(
            f"providers must be among {', '.join(available)}, got {', '.join(missing) or 'none'}; "
            "for an NVIDIA GPU: pip install onnxruntime-gpu"
        )
    return checked


def device_providers(device: str | None) -> list[Provider]:
    """Execution providers for a device named as torch names it: ``cpu``, ``cuda`` or ``cuda:1``; ``None``: the CPU.

    Raises:
        ValueError: If it has another name.
    """
    kind, _, index = (device or "cpu").partition(":")
    if kind == "cpu" and index in ("", "0"):
        return [CPU]
    if kind == "cuda" and (index.isdecimal() or device == "cuda"):
        return [(CUDA, {"device_id": int(index or 0)}), CPU]
    raise ValueError(f"an exported model runs on cpu, cuda or cuda:N, got {device!r}; choose one of them")
