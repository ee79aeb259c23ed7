"""The command ``centerdet check``."""

from __future__ import annotations

import argparse
from pathlib import Path

from centerdet.cli.options import add_command, add_data_argument
from centerdet.cli.output_kinds import is_png, write_png
from centerdet.cli.outputs import Output, add_overwrite_option, check_outputs, dataset_files
from centerdet.cli.streams import one_line, print_result, run_all


def add_check(commands: argparse._SubParsersAction) -> None:
    """Adds the parser of ``centerdet check``."""
    parser = add_command(
        commands,
        "check",
        "find all errors in a data set",
        "Prints one line per error, and draws images with their labels onto one sheet.\n"
        "The exit code is 2 if there are errors.",
    )
    add_data_argument(parser)
    parser.add_argument("--out", type=Path, default=Path("check.png"), help="file of the sheet; default: %(default)s")
    parser.add_argument("--tiles", type=int, default=36, help="number of images on the sheet; default: %(default)s")
    add_overwrite_option(parser)
    parser.set_defaults(run=_check)


def _check(options: argparse.Namespace) -> None:
    from centerdet.data.validate import check_dataset

    if options.tiles < 1:
        raise ValueError(f"--tiles must be at least 1, got {options.tiles}")
    sheet_file = Output("--out", options.out, is_png)
    check_outputs([sheet_file], dataset_files(options.data), overwrite=options.overwrite)
    errors, sheet = check_dataset(options.data, tiles=options.tiles, progress=True)

    def print_errors() -> None:
        print_result(*(map(one_line, errors) if errors else ["no errors found"]))

    def draw_labels() -> None:
        if sheet is not None:
            write_png(options.out, sheet)
            print_result(f"labels drawn to {one_line(options.out)}")

    run_all(print_errors, draw_labels)  # the errors first: a full disk does not cost them
    if errors:
        raise ValueError(f"errors in {options.data}: {len(errors)}, listed above")
