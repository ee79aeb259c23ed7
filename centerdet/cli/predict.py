"""The command ``centerdet predict``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from centerdet.cli.common import add_command, add_detector_options, load_detector
from centerdet.cli.output_kinds import is_csv, is_cvat, is_json_lines, is_label_studio, is_png
from centerdet.cli.outputs import Output, add_overwrite_option, check_outputs, never_ours, weights_file
from centerdet.cli.streams import one_line

_FORMATS = ("csv", "jsonl", "yolo", "label-studio", "cvat", "labelme")


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
    parser.add_argument("--format", choices=_FORMATS, default="csv", help="default: %(default)s")
    out_help = "file to write (default: standard output); for yolo and labelme, a folder"
    parser.add_argument("--out", type=Path, help=out_help)
    parser.add_argument("--save-images", type=Path, metavar="DIR", help="folder for images with the box drawn in")
    parser.add_argument("--batch-size", type=int, default=32, help="images in a batch; default: %(default)s")
    add_overwrite_option(parser)
    parser.set_defaults(run=_predict)


def _predict(options: argparse.Namespace) -> None:
    from tqdm import tqdm

    from centerdet.cli.writers import FOLDER_FORMATS, open_writer, save_picture
    from centerdet.data.predict import find_files, predict_files

    if options.batch_size < 1:
        raise ValueError(f"--batch-size must be at least 1, got {options.batch_size}")
    if options.format in FOLDER_FORMATS and options.out is None:
        raise ValueError(f"format {options.format} writes one file per image: name a folder with --out")
    paths = find_files(options.images)
    names, pictures = _check_files(options, paths)
    detector = load_detector(options)
    failed: dict[str, int] = {"images": 0, "results": 0, "pictures": 0}

    def report(kind: str, message: object) -> None:
        failed[kind] += 1
        tqdm.write(f"{'skipped' if kind == 'images' else 'error'}: {one_line(message)}", file=sys.stderr)

    def attempt(kind: str, write: Callable[[], None]) -> None:
        try:
            write()
        except (OSError, ValueError, MemoryError) as error:  # it costs neither the other images nor other files
            report(kind, error)

    with (
        open_writer(options.out, options.format, names) as write,
        tqdm(total=len(paths), unit="image", disable=None) as bar,
    ):
        on_error = partial(report, "images")
        for result in predict_files(detector, paths, on_error=on_error, batch_size=options.batch_size):
            if options.format in FOLDER_FORMATS:
                attempt("results", partial(write, result))
            else:
                write(result)  # an error ends the command: no later line could be written
            if options.save_images:
                attempt("pictures", partial(save_picture, pictures[result.path], result))
            bar.update()
    _raise_failures(failed, len(paths))


def _check_files(options: argparse.Namespace, paths: list[Path]) -> tuple[dict[Path, Path], dict[Path, Path]]:
    """Checks all files that will be written; returns the file, or name, of each image's result, and its picture."""
    from centerdet.cli.writers import FOLDER_FORMATS, relative_names, result_paths

    suffix = FOLDER_FORMATS.get(options.format)
    files = result_paths(paths, suffix, options.out) if suffix else {}
    pictures = result_paths(paths, ".png", options.save_images) if options.save_images else {}
    kinds = {"csv": is_csv, "jsonl": is_json_lines, "label-studio": is_label_studio, "cvat": is_cvat}
    outputs = [] if suffix else [Output("--out", options.out, kinds[options.format])]
    outputs += [Output("--out", path, never_ours, makes_folder=True) for path in dict.fromkeys(files.values())]
    outputs += [Output("--save-images", path, is_png, makes_folder=True) for path in dict.fromkeys(pictures.values())]
    check_outputs(outputs, [*paths, *weights_file(options.weights)], overwrite=options.overwrite)
    return files or relative_names(paths), pictures


def _raise_failures(failed: dict[str, int], count: int) -> None:
    """Raises one error that counts the failures, if there are any."""
    parts = [f"{failed['images']} of {count} images could not be used"] if failed["images"] else []
    parts += [f"{number} {kind} could not be written" for kind, number in failed.items() if number and kind != "images"]
    if parts:
        raise ValueError(f"{', and '.join(parts)}, see above; the others have results")
