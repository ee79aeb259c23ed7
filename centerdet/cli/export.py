"""The command ``centerdet export``."""

from __future__ import annotations

import argparse
from pathlib import Path

import centerdet
from centerdet.cli.options import WEIGHTS_HELP, add_command, add_noise_level_option
from centerdet.cli.output_kinds import is_onnx
from centerdet.cli.outputs import Output, add_overwrite_option, check_outputs, weights_file
from centerdet.cli.streams import one_line, print_progress
from centerdet.preprocessing import MIN_SIDE


def add_export(commands: argparse._SubParsersAction) -> None:
    """Adds the parser of ``centerdet export``."""
    parser = add_command(
        commands,
        "export",
        "write a detector as one ONNX file",
        "The model includes the decoding of boxes. Export needs further packages: pip install '.[export]'",
    )
    parser.add_argument("model", type=Path, help="file to write, NAME.onnx")
    parser.add_argument("--weights", help=WEIGHTS_HELP)
    parser.add_argument(
        "--web", type=Path, metavar="FOLDER", help="also write a static page that runs the model in the browser"
    )
    add_noise_level_option(parser)
    add_overwrite_option(parser)
    parser.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> None:
    from centerdet.detector.pretrained import TASK_WEIGHTS
    from centerdet.export import export_onnx
    from centerdet.export.onnx import check_model_name
    from centerdet.export.web import check_web_runtime, write_page

    check_model_name(options.model)
    outputs = [Output("the model", options.model, is_onnx)]
    if options.web is not None:
        check_web_runtime()
        outputs += _page_outputs(options.web)
    check_outputs(outputs, weights_file(options.weights), overwrite=options.overwrite)
    export_onnx(centerdet.load(options.weights, noise_level=options.noise_level), options.model)
    print_progress(f"{one_line(options.model)}: for images of at least {MIN_SIDE} px a side, in batches of any size")
    if options.web is not None:
        write_page(options.web, options.model, with_examples=(options.weights or TASK_WEIGHTS[0]) in TASK_WEIGHTS)
        folder = one_line(options.web)
        print_progress(f"{folder}: a page; to see it: python -m http.server --directory {folder}")


def _page_outputs(folder: Path) -> list[Output]:
    """The files of a page; existing ones may be replaced if they belong to an earlier page."""
    from centerdet.export.web import PAGE_FILES, is_page

    return [Output("--web", folder / name, lambda _: is_page(folder), makes_folder=True) for name in PAGE_FILES]
