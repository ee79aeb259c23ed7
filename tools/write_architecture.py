"""Writes ``architecture.txt`` from the network of a config itself: layers, shapes, parameters, total."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from torch import nn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a checkout works without being installed

from centerdet import CenterNet
from centerdet.cli.common import fail_cleanly
from centerdet.files import write_atomically
from centerdet.model.equivariant import EquivariantHead, GroupConv, LiftingConv
from centerdet.training.config import read_config


def describe(network: CenterNet, *, side: int = 200) -> str:
    """A table of a network's layers in the order of their use, for an image of ``side`` by ``side`` pixels."""
    rows: list[tuple[str, str, str, str]] = []
    multiplications = 0

    def record(name: str, module: nn.Module, output: torch.Tensor) -> None:
        nonlocal multiplications
        parameters = sum(parameter.numel() for parameter in module.parameters())
        if isinstance(module, LiftingConv | GroupConv | EquivariantHead):
            multiplications += module.kernel().numel() * output.shape[-2] * output.shape[-1]
        rows.append((name, _kind(module), "x".join(str(size) for size in output.shape[1:]), f"{parameters:,}"))

    layers = [(name, module) for name, module in network.named_modules() if not list(module.children())]
    hooks = [
        module.register_forward_hook(lambda module, _, output, name=name: record(name, module, output))
        for name, module in layers
    ]
    with torch.inference_mode():
        network.eval()(torch.zeros(1, 1, side, side))
    for hook in hooks:
        hook.remove()

    header = ("layer", "kind", "output", "parameters")
    channels = [max(len(row[column]) for row in [header, *rows]) for column in range(4)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, channels, strict=True)).rstrip()
        for row in [header, tuple("-" * width for width in channels), *rows]
    ]
    total = sum(parameter.numel() for parameter in network.parameters())
    config = network.config
    channels = 1 if config.noise_level is None else 2
    return "\n".join(
        [
            f"CenterNet, one {side}x{side} image (channels x rows x columns)",
            f"input 1x{side}x{side} -> evidence {channels}x{side}x{side}",
            "",
            *lines,
            "",
            "A channel out of eight is one view of a field: every kernel is used in all 8 flips and quarter turns.",
            "heads: centre logit, width, height, sin yaw, cos yaw, offset x, offset y",
            f"{total:,} parameters, {multiplications / 1e6:,.0f} million multiplications an image",
            "",
        ]
    )


def _kind(module: nn.Module) -> str:
    name = type(module).__name__
    if isinstance(module, LiftingConv):
        return f"{name} {3 * module.stride}x{3 * module.stride} stride {module.stride}"
    if isinstance(module, GroupConv):
        side = module.shape[-1]
        return f"{name} {side}x{side}" + (f" stride {module.stride}" if module.stride > 1 else "")
    return name


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Writes the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "default.yaml")
    parser.add_argument("--out", type=Path, default=ROOT / "architecture.txt")
    options = parser.parse_args(arguments)
    write_atomically(options.out, describe(CenterNet(read_config(options.config).network)).encode())
    print(f"written: {options.out}")


if __name__ == "__main__":
    sys.exit(main())
