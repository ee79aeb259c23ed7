"""The command ``centerdet evaluate``."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from centerdet.cli.options import add_command, add_data_argument, add_detector_options, load_detector
from centerdet.cli.output_kinds import is_html_report, is_json_report, write_html, write_json
from centerdet.cli.outputs import Output, add_overwrite_option, check_outputs, dataset_files, weights_file
from centerdet.cli.streams import one_line, print_result, printable, run_all

if TYPE_CHECKING:
    from centerdet.data.dataset import Dataset
    from centerdet.detector.base import BaseDetector


def add_evaluate(commands: argparse._SubParsersAction) -> None:
    """Adds the parser of ``centerdet evaluate``."""
    parser = add_command(
        commands,
        "evaluate",
        "score a detector on a data set",
        "AP@0.7 is the fraction of images with rotated IoU > 0.7, of the images that have a true or a predicted box.\n"
        "An error in a label ends the command before it begins. Images that cannot be read are reported and left out\n"
        "of the scores; the exit code is then 2.",
    )
    add_data_argument(parser)
    parser.add_argument("--split", choices=("train", "validation", "test"), default="test", help="default: %(default)s")
    add_detector_options(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the scores to a JSON file")
    parser.add_argument("--html-report", type=Path, metavar="FILE", help="write an HTML page with curves and pictures")
    add_overwrite_option(parser)
    parser.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> None:
    from centerdet.data.dataset import load_dataset
    from centerdet.data.labels import ErrorCollector
    from centerdet.evaluation.metrics import predict_all
    from centerdet.evaluation.report import summarise

    outputs = [
        Output("--json", options.json, is_json_report),
        Output("--html-report", options.html_report, is_html_report),
    ]
    inputs = chain(weights_file(options.weights), dataset_files(options.data))
    check_outputs(outputs, inputs, overwrite=options.overwrite)
    unreadable = ErrorCollector()
    dataset = load_dataset(options.data, options.split, unreadable=unreadable)
    skipped: list[Path | None] = []
    for message in unreadable.messages:
        _report_skipped(skipped, message)
    if not dataset.items:
        raise ValueError(f"no image of the {options.split} split of {options.data} could be read, see above")
    detector = load_detector(options)
    _use_intensity_range(dataset, detector, options.data)
    scenes = dataset.readable(partial(_report_skipped, skipped))
    results = predict_all(detector, scenes, count=len(dataset), progress=True, ignore_threshold=True)
    dataset = dataset.without(skipped)
    results = results._replace(has_heading=results.has_heading and dataset.has_heading)
    report = summarise(results.above(detector.threshold))

    def write_scores() -> None:
        if options.json:
            write_json(options.json, report.to_dict())

    def write_report() -> None:
        from centerdet.evaluation.html_report import render_html_report

        if options.html_report:
            title, names = f"{options.data}, {options.split}", [printable(item.path.name) for item in dataset.items]
            page = render_html_report(detector, results, dataset, title=printable(title), names=names)
            write_html(options.html_report, page)

    # The scores first: neither a closed output nor a full disk costs what can still be written.
    run_all(partial(print_result, report), write_scores, write_report)
    if skipped:
        count = len(skipped) + len(dataset)
        raise ValueError(f"{len(skipped)} of {count} images could not be read, see above; the scores are of the others")


def _report_skipped(skipped: list[Path | None], message: str, path: Path | None = None) -> None:
    """Remembers an image that is left out, and reports it."""
    from tqdm import tqdm

    skipped.append(path)
    tqdm.write(f"skipped: {one_line(message)}", file=sys.stderr)


def _use_intensity_range(dataset: Dataset, detector: BaseDetector, path: Path) -> None:
    """Makes the data set check its pixels by the detector's intensity range.

    Raises:
        ValueError: If the data set has another range than the detector.
    """
    if dataset.intensity_range not in (None, detector.intensity_range):
        raise ValueError(
            f"{path} has intensity_range {list(dataset.intensity_range)}, but the weights were trained with "
            f"{detector.intensity_range and list(detector.intensity_range)}; give both the same range"
        )
    dataset.intensity_range = detector.intensity_range
