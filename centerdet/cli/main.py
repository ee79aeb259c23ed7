"""The command ``centerdet``. A subcommand is a function that adds its parser, and one that runs it."""

from __future__ import annotations

import argparse
from pathlib import Path

import centerdet
from centerdet.cli.common import WEIGHTS_HELP, add_command, fail_cleanly
from centerdet.cli.data_commands import add_check, add_train
from centerdet.cli.detector_commands import add_evaluate, add_predict


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Runs the subcommand that the command line names."""
    parser = argparse.ArgumentParser(prog="centerdet", description=centerdet.__doc__)
    parser.add_argument("--version", action="version", version=f"centerdet {centerdet.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (add_check, add_train, add_evaluate, add_predict, _add_export):
        add(commands)
    options = parser.parse_args(arguments)
    options.run(options)


def _add_export(commands: argparse._SubParsersAction) -> None:
    parser = add_command(
        commands, "export", "write a detector as one ONNX file", "Decoding is inside; it needs the extra 'export'."
    )
    parser.add_argument("model", type=Path, help="the file to write; an old one is replaced")
    parser.add_argument("--weights", help=WEIGHTS_HELP)
    parser.add_argument(
        "--image-size", type=int, nargs=2, metavar=("H", "W"), default=(200, 200), help="in px; default: 200 200"
    )
    parser.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> None:
    from centerdet.export.onnx import export_onnx

    height, width = options.image_size
    export_onnx(centerdet.load(options.weights), options.model, image_size=(height, width))
    print(f"{options.model}: for images of {height} x {width} px, as many at once as you like")
