"""The command ``centerdet predict``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from centerdet.cli.common import add_command, add_detector_options, load_detector


def add_predict(commands: argparse._SubParsersAction) -> None:
    """Adds the parser of ``centerdet predict``."""
    parser = add_command(
        commands,
        "predict",
        "find the object in each of many image files",
        "Writes each result as soon as it is known, in the order of the files. Files that cannot be used are reported\n"
        "and skipped; the exit code is then 2.",
    )
    parser.add_argument("images", nargs="+", help="files, folders (with their subfolders) or glob patterns")
    add_detector_options(parser)
    parser.add_argument("--format", choices=("csv", "jsonl", "yolo"), default="csv", help="default: %(default)s")
    parser.add_argument("--out", type=Path, help="file to write (default: standard output); for yolo, a folder")
    parser.add_argument("--save-images", type=Path, metavar="DIR", help="folder for images with the box drawn in")
    parser.add_argument("--batch-size", type=int, default=32, help="images in a batch; default: %(default)s")
    parser.set_defaults(run=_predict)


def _predict(options: argparse.Namespace) -> None:
    from tqdm import tqdm

    from centerdet.cli.writers import open_writer, result_paths, save_picture
    from centerdet.data.predict import find_files, predict_files

    if options.batch_size < 1:
        raise ValueError(f"--batch-size must be at least 1, got {options.batch_size}")
    detector, paths = load_detector(options), find_files(options.images)
    pictures = result_paths(paths, ".png", options.save_images) if options.save_images else {}
    skipped = 0

    def report_skipped(message: str) -> None:
        nonlocal skipped
        skipped += 1
        tqdm.write(f"skipped: {message}", file=sys.stderr)

    with (
        open_writer(options.out, options.format, paths) as write,
        tqdm(total=len(paths), unit="image", disable=None) as bar,
    ):
        for result in predict_files(detector, paths, on_error=report_skipped, batch_size=options.batch_size):
            write(result)
            if options.save_images:
                save_picture(pictures[result.path], detector, result)
            bar.update()
    if skipped:
        raise ValueError(f"{skipped} of {len(paths)} images could not be used; the others have results")
