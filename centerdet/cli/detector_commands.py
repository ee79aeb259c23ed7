"""The commands ``evaluate`` and ``predict``: a function that adds each one's parser, and one that runs it.

What they need is imported where they run: ``--help`` should not wait for it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import centerdet
from centerdet.cli.common import WEIGHTS_HELP, add_command, select_device, write_json
from centerdet.cli.data_commands import add_data
from centerdet.files import check_folder, write_atomically

if TYPE_CHECKING:
    from centerdet.detector.base import BaseDetector


def _add_detector_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", help=f"{WEIGHTS_HELP}; or an exported model (.onnx)")
    parser.add_argument("--threshold", type=float, help="in [0, 1]; default: the one stored with the weights")
    parser.add_argument("--device", help="a torch device (default: a GPU if there is one)")


def _load(options: argparse.Namespace) -> BaseDetector:
    if options.weights and options.weights.endswith(".onnx"):
        from centerdet.export.onnx import OnnxDetector

        detector = OnnxDetector(options.weights)
        detector.threshold = detector.threshold if options.threshold is None else options.threshold
        return detector
    return centerdet.load(options.weights, threshold=options.threshold, device=select_device(options.device))


def add_evaluate(commands: argparse._SubParsersAction) -> None:
    """Adds ``centerdet evaluate``."""
    parser = add_command(
        commands,
        "evaluate",
        "score a detector on a data set",
        "AP is the fraction with rotated IoU > 0.7 of the images that have a true or a found box.",
    )
    add_data(parser)
    parser.add_argument("--split", choices=("train", "validation", "test"), default="test", help="default: %(default)s")
    _add_detector_options(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the scores there, too")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write a page with pictures (HTML) there")
    parser.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> None:
    from centerdet.data.dataset import load_dataset
    from centerdet.evaluation.html_report import render_html_report
    from centerdet.evaluation.metrics import predict_all_unthresholded
    from centerdet.evaluation.report import summarise

    for path in (options.json, options.report):
        if path:
            check_folder(path)
    dataset, detector = load_dataset(options.data, options.split), _load(options)
    if dataset.intensity_range not in (None, detector.intensity_range):
        raise ValueError(
            f"{options.data} says intensity {list(dataset.intensity_range)}, the weights were trained with "
            f"{detector.intensity_range and list(detector.intensity_range)}; pixels are scaled as in training: make the two agree"
        )
    dataset.intensity_range = detector.intensity_range
    everything = predict_all_unthresholded(detector, dataset, progress=True)
    everything = everything._replace(has_heading=everything.has_heading and dataset.has_heading)
    report = summarise(everything.above(detector.threshold))
    if options.json:
        write_json(options.json, report.to_dict())
    if options.report:
        title, names = f"{options.data}, {options.split}", [item.path.name for item in dataset.items]
        page = render_html_report(detector, everything, dataset, title=title, names=names)
        write_atomically(options.report, page.encode())
    print(report)


def add_predict(commands: argparse._SubParsersAction) -> None:
    """Adds ``centerdet predict``."""
    parser = add_command(
        commands,
        "predict",
        "find the object in each of many image files",
        "Answers come in the files' order, each as soon as it is known. A file that cannot be used is reported and\n"
        "passed over; if there are any, the exit code is 2 in the end.",
    )
    parser.add_argument("images", nargs="+", help="files, folders (with their subfolders) or globs")
    _add_detector_options(parser)
    parser.add_argument("--format", choices=("csv", "jsonl", "yolo"), default="csv", help="default: %(default)s")
    parser.add_argument("--out", type=Path, help="file to write (default: standard output); for yolo: a folder")
    parser.add_argument("--overlay", type=Path, metavar="DIR", help="save a picture of each answer there")
    parser.add_argument("--batch-size", type=int, default=32, help="images looked at together; default: %(default)s")
    parser.set_defaults(run=_predict)


def _predict(options: argparse.Namespace) -> None:
    from tqdm import tqdm

    from centerdet.cli.writers import answer_names, draw_answer, open_writer
    from centerdet.data.predict import answer, expand

    if options.batch_size < 1:
        raise ValueError(f"--batch-size must be at least 1, got {options.batch_size}")
    detector = _load(options)
    paths = expand(options.images)
    pictures = answer_names(paths, ".png", options.overlay) if options.overlay else {}
    failures = 0

    def failed(message: str) -> None:
        nonlocal failures
        failures += 1
        tqdm.write(f"skipped: {message}", file=sys.stderr)

    with (
        open_writer(options.out, options.format, paths) as write,
        tqdm(total=len(paths), unit="image", disable=None) as bar,
    ):
        for path, image, predicted in answer(detector, paths, failed=failed, batch_size=options.batch_size):
            write(path, image, predicted)
            if options.overlay:
                draw_answer(pictures[path], detector, image, predicted)
            bar.update()
    if failures:
        raise ValueError(f"{failures} of {len(paths)} images could not be used; the others are answered")
