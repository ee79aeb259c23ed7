"""The command ``centerdet predict``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from centerdet.cli.options import add_command, add_detector_options, load_detector
from centerdet.cli.output_kinds import is_csv, is_cvat, is_json_lines, is_label_studio, is_parquet, is_png
from centerdet.cli.outputs import Output, add_overwrite_option, check_outputs, never_ours, weights_file
from centerdet.cli.streams import one_line
from centerdet.files import is_folder

_FORMATS = ("csv", "jsonl", "parquet", "yolo", "label-studio", "cvat", "labelme")
_MAX_SHARDS = 10**6


def add_predict(commands: argparse._SubParsersAction) -> None:
    """Adds the parser of ``centerdet predict``."""
    parser = add_command(
        commands,
        "predict",
        "find the object in each of many image files",
        "Writes each result as soon as it is known, in the order of the files. TIFF files of several pages and videos\n"
        "(AVI, MP4, MOV) have a result for each frame. Images that cannot be used are reported and skipped; the exit\n"
        "code is then 2.",
    )
    parser.add_argument("images", nargs="+", help="files, folders (with their subfolders) or glob patterns")
    add_detector_options(parser)
    parser.add_argument("--format", choices=_FORMATS, default="csv", help="default: %(default)s")
    out_help = "file to write (default: standard output); for yolo and labelme, a folder"
    parser.add_argument("--out", type=Path, help=out_help)
    parser.add_argument("--save-images", type=Path, metavar="DIR", help="folder for images with the box drawn in")
    parser.add_argument("--batch-size", type=int, default=32, help="images in a batch; default: %(default)s")
    parser.add_argument(
        "--shard",
        type=_parse_shard,
        default=(1, 1),
        metavar="I/N",
        help="only part I of N (from 1/N to N/N) of the list of files; the parts' results in this order are the whole",
    )
    parser.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="ray: in several processes, on this machine or the cluster of RAY_ADDRESS; default: %(default)s",
    )
    parser.add_argument("--actors", type=int, help="processes of engine ray (default: one for each GPU, or CPU core)")
    add_overwrite_option(parser)
    parser.set_defaults(run=_predict)


def _predict(options: argparse.Namespace) -> None:
    from tqdm import tqdm

    from centerdet.cli.writers import FOLDER_FORMATS, open_writer, result_file, save_picture
    from centerdet.data.predict import find_files, predict_files, select_shard

    if options.batch_size < 1:
        raise ValueError(f"--batch-size must be at least 1, got {options.batch_size}")
    if options.format in FOLDER_FORMATS and options.out is None:
        raise ValueError(f"format {options.format} writes one file per image: name a folder with --out")
    _check_engine(options)
    paths = find_files(options.images)
    names, pictures = _check_files(options, paths)
    paths = select_shard(paths, options.shard)
    if options.engine == "ray":
        _predict_with_ray(options, paths)
        return
    detector = load_detector(options)
    count, failed = 0, {"images": 0, "results": 0, "pictures": 0}

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
            count += 1
            if options.format in FOLDER_FORMATS:
                attempt("results", partial(write, result))
            else:
                write(result)  # an error ends the command: no later line could be written
            if options.save_images:
                attempt("pictures", partial(save_picture, result_file(pictures, result), result))
            bar.update(not result.frame)  # once for a stack or video
    _raise_failures(failed, count + failed["images"])


def _check_engine(options: argparse.Namespace) -> None:
    if options.actors is not None and (options.engine != "ray" or options.actors < 1):
        raise ValueError(f"--actors is the number of processes of --engine ray, at least 1; got {options.actors}")
    if options.engine == "ray":
        from centerdet.cli.ray_engine import check_ray

        check_ray()
        if options.format != "parquet" or options.save_images:
            raise ValueError("engine ray writes a Parquet file only: use --format parquet, without --save-images")


def _predict_with_ray(options: argparse.Namespace, paths: list[Path]) -> None:
    from centerdet.cli.ray_engine import predict_with_ray

    rows, errors = predict_with_ray(options, paths, options.out)
    if errors:
        raise ValueError(
            f"{errors} of {rows} images could not be used, see the column error of {options.out}; the others have "
            "results"
        )


def _parse_shard(text: str) -> tuple[int, int]:
    number, _, count = text.partition("/")
    if not (text.isascii() and number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count) <= _MAX_SHARDS):
        raise argparse.ArgumentTypeError(f"wanted I/N with 1 <= I <= N, such as 1/8, got {text!r}")
    return int(number), int(count)


def _check_files(options: argparse.Namespace, paths: list[Path]) -> tuple[dict[Path, Path], dict[Path, Path]]:
    """Checks all files that will be written; returns the file, or name, of each image's result, and its picture."""
    from centerdet.cli.parquet import check_parquet
    from centerdet.cli.writers import FOLDER_FORMATS, frame_folder, relative_names, result_paths

    if options.format == "parquet":
        check_parquet(options.out)
    if options.format in ("label-studio", "cvat", "labelme"):
        _check_no_frames(paths, options.format)
    suffix = FOLDER_FORMATS.get(options.format)
    files = result_paths(paths, suffix, options.out) if suffix else {}
    pictures = result_paths(paths, ".png", options.save_images) if options.save_images else {}
    kinds = {
        "csv": is_csv,
        "jsonl": is_json_lines,
        "parquet": is_parquet,
        "label-studio": is_label_studio,
        "cvat": is_cvat,
    }
    outputs = [] if suffix else [Output("--out", options.out, kinds[options.format])]
    outputs += [Output("--out", path, never_ours, makes_folder=True) for path in dict.fromkeys(files.values())]
    outputs += [Output("--save-images", path, is_png, makes_folder=True) for path in dict.fromkeys(pictures.values())]
    for option, results, is_ours in (("--out", files, never_ours), ("--save-images", pictures, is_png)):
        folders = dict.fromkeys(frame_folder(path, file) for path, file in results.items())
        existing = (file for folder in folders if is_folder(folder) for file in folder.iterdir())
        outputs += [Output(option, file, is_ours) for file in existing if file.is_file()]
    check_outputs(outputs, [*paths, *weights_file(options.weights)], overwrite=options.overwrite)
    return files or relative_names(paths), pictures


def _check_no_frames(paths: list[Path], format: str) -> None:
    from centerdet.data.frames import is_sequence

    for path in paths:
        if is_sequence(path):
            raise ValueError(
                f"format {format} has no place for the frames of {path}; use csv, jsonl, parquet or yolo, or save each "
                "frame as a file"
            )


def _raise_failures(failed: dict[str, int], count: int) -> None:
    """Raises one error that counts the failures, if there are any."""
    parts = [f"{failed['images']} of {count} images could not be used"] if failed["images"] else []
    parts += [f"{number} {kind} could not be written" for kind, number in failed.items() if number and kind != "images"]
    if parts:
        raise ValueError(f"{', and '.join(parts)}, see above; the others have results")
