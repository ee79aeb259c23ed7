"""The command ``centerdet check``."""

from __future__ import annotations

import argparse
from pathlib import Path

from centerdet.cli.common import add_command, add_data_argument
from centerdet.files import check_folder, write_atomically


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
    parser.set_defaults(run=_check)


def _check(options: argparse.Namespace) -> None:
    from centerdet.data.validate import check_dataset

    if options.tiles < 1:
        raise ValueError(f"--tiles must be at least 1, got {options.tiles}")
    check_folder(options.out)
    errors, sheet = check_dataset(options.data, tiles=options.tiles, progress=True)
    if sheet is not None:
        import cv2

        write_atomically(options.out, cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())
    print("\n".join(errors) or "no errors found")
    if sheet is not None:
        print(f"labels drawn to {options.out}")
    if errors:
        raise ValueError(f"errors in {options.data}: {len(errors)}, listed above")
