"""Writes ``architecture.txt``: the layers of a config's network with their output shapes and parameters, and totals."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a checkout works without being installed

from centerdet import CenterNet
from centerdet.cli.errors import Parser, fail_cleanly
from centerdet.cli.output_kinds import is_architecture
from centerdet.cli.outputs import Output, add_overwrite_option, check_outputs
from centerdet.cli.streams import one_line
from centerdet.files import write_atomically
from centerdet.model.equivariant import GroupConv, LiftingConv
from centerdet.model.head import EquivariantHead
from centerdet.training.config import read_config

Row = tuple[str, str, str, str]
HEADER: Row = ("layer", "kind", "output", "parameters")


def describe(network: CenterNet, *, image_size: int = 200) -> str:
    """Returns a table of a network's layers in the order of their use, for a square image of ``image_size`` px."""
    rows, multiplications = _trace(network, image_size)
    widths = [max(len(row[column]) for row in [HEADER, *rows]) for column in range(len(HEADER))]
    rule = tuple("-" * width for width in widths)
    table = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [HEADER, rule, *rows]
    ]
    total = sum(parameter.numel() for parameter in network.parameters())
    shape = f"{image_size}x{image_size}"
    encoding = "the image itself" if network.config.noise_level is None else f"log-likelihood ratio 2x{shape}"
    lines = [
        f"CenterNet, one {shape} image (channels x rows x columns)",
        f"input 1x{shape} -> {encoding}",
        "",
        *table,
        "",
        "Eight channels form a field: they apply the same kernel in its 8 flips and quarter turns.",
        "heads: centre logit, width, height, sin yaw, cos yaw, offset x, offset y",
        f"{total:,} parameters, {multiplications / 1e6:,.0f} million multiplications an image",
        "",
    ]
    return "\n".join(lines)


def _trace(network: CenterNet, image_size: int) -> tuple[list[Row], int]:
    """Runs the network once; returns a row for each layer, and the number of multiplications."""
    rows: list[Row] = []
    multiplications = 0

    def record(name: str, layer: nn.Module, output: torch.Tensor) -> None:
        nonlocal multiplications
        parameters = sum(parameter.numel() for parameter in layer.parameters())
        if isinstance(layer, LiftingConv | GroupConv | EquivariantHead):
            multiplications += layer.kernel().numel() * output.shape[-2] * output.shape[-1]
        rows.append((name, _kind(layer), "x".join(str(size) for size in output.shape[1:]), f"{parameters:,}"))

    hooks = [
        layer.register_forward_hook(lambda layer, _, output, name=name: record(name, layer, output))
        for name, layer in network.named_modules()
        if not list(layer.children())
    ]
    with torch.inference_mode():
        network.eval()(torch.zeros(1, 1, image_size, image_size))
    for hook in hooks:
        hook.remove()
    return rows, multiplications


def _kind(layer: nn.Module) -> str:
    name = type(layer).__name__
    if not isinstance(layer, LiftingConv | GroupConv):
        return name
    stride = f" stride {layer.stride}" if layer.stride > 1 else ""
    return f"{name} {layer.kernel_size}x{layer.kernel_size}{stride}"


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Writes the file."""
    parser = Parser(description=__doc__)
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "default.yaml")
    parser.add_argument("--out", type=Path, default=ROOT / "architecture.txt")
    add_overwrite_option(parser)
    options = parser.parse_args(arguments)
    check_outputs([Output("--out", options.out, is_architecture)], [options.config], overwrite=options.overwrite)
    write_atomically(options.out, describe(CenterNet(read_config(options.config).network)).encode())
    print(f"written: {one_line(options.out)}")


if __name__ == "__main__":
    sys.exit(main())
