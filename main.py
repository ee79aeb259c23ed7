"""Prints the score of a detector on the task: AP@0.7 on samples of ``make_data()`` with its default arguments.

AP@0.7 is the task's definition: the fraction of samples with IoU above 0.7, over the samples in which a box is
predicted or true. The samples are those of ``numpy.random.seed(SEED)``, which training never used. One pass over them
gives a row for the network alone and a row with refinement, which uses the model of the scenes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

import centerdet
from centerdet.cli.errors import Parser, fail_cleanly
from centerdet.cli.options import add_noise_level_option, parse_evaluation_options, select_device
from centerdet.cli.output_kinds import write_html, write_json
from centerdet.cli.streams import print_result, run_all
from centerdet.detector.base import BaseDetector
from centerdet.evaluation.error_analysis import error_analysis
from centerdet.evaluation.metrics import predict_all, predict_stages
from centerdet.evaluation.report import EvaluationReport, EvaluationResults, format_table, summarise
from centerdet.synthetic.scenes import draw_benchmark

SEED = 20_261_123  # default seed of the samples
NUM_SAMPLES = 10_000  # gives a 95 % interval of about +- 0.005
NETWORK, REFINED = "network alone", "with refinement"  # names of the rows


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = Parser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--threshold", type=float, help="score threshold (default: the one stored with the weights)")
    add_noise_level_option(parser)
    parser.add_argument(
        "--refine", action=argparse.BooleanOptionalAction, default=True, help="add the row with refinement"
    )
    parser.add_argument("--html-report", type=Path, metavar="FILE", help="write an HTML page with pictures")
    parser.add_argument(
        "--error-analysis", action="store_true", help="also print the last row's errors by cause and place"
    )
    return parse_evaluation_options(parser, arguments, num_samples=NUM_SAMPLES, seed=SEED)


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Evaluates a detector, prints a row for each stage, and writes the files that the options name."""
    options = parse_arguments(arguments)
    lines: list[NDArray] = []
    rows = evaluate_stages(options, lines)
    last = list(rows.values())[-1]  # the most accurate boxes
    reports = {name: row.report for name, row in rows.items()}
    text = f"{format_table(reports)}\n\n{last.report.samples} samples, {last.report.scored} with any box"

    def write_scores() -> None:
        if options.json:
            stages = {name: row.to_dict() for name, row in rows.items()}
            write_json(options.json, {"seed": options.seed, **last.to_dict(), "rows": stages})

    def print_errors() -> None:
        if options.error_analysis:
            print_result(f"\n{error_analysis(last.results.above(last.detector.threshold), lines)}")

    def write_report() -> None:
        if options.html_report:
            write_html_report(options, last, lines)

    # The scores first: neither a closed output nor a full disk costs what can still be written.
    run_all(partial(print_result, text), write_scores, print_errors, write_report)


class Row(NamedTuple):
    """A stage of the detector, its results without a threshold, and its report at its threshold."""

    detector: BaseDetector
    results: EvaluationResults
    report: EvaluationReport

    def to_dict(self) -> dict[str, Any]:
        """Returns threshold and report as plain values."""
        return {"threshold": self.detector.threshold, **self.report.to_dict()}


def evaluate_stages(options: argparse.Namespace, lines: list[NDArray]) -> dict[str, Row]:
    """Evaluates the network alone and, if the weights have one and it is wanted, with refinement, in one pass."""
    detector = centerdet.load(
        options.weights,
        threshold=options.threshold,
        noise_level=options.noise_level,
        device=select_device(options.device),
    )
    scenes = draw_samples(options, lines)
    if not options.refine or detector.refinement is None:  # weights of other scenes may have none
        results = predict_all(detector, scenes, count=options.num_samples, progress=True, ignore_threshold=True)
        return {NETWORK: make_row(detector, results)}
    refined = detector.with_refinement()
    if options.threshold is not None:
        refined.threshold = options.threshold
    before, after = predict_stages(refined, scenes, count=options.num_samples, progress=True)
    return {NETWORK: make_row(detector, before), REFINED: make_row(refined, after)}


def make_row(detector: BaseDetector, results: EvaluationResults) -> Row:
    """Summarises results at the detector's threshold."""
    return Row(detector, results, summarise(results.above(detector.threshold)))


def draw_samples(
    options: argparse.Namespace, lines: list[NDArray]
) -> Iterator[tuple[NDArray, centerdet.RotatedBox | None]]:
    """Yields images and boxes; appends the ends of each image's lines ``(K, 4)``, px, to ``lines``."""
    for scene in draw_benchmark(options.seed, options.num_samples):
        lines.append(scene.lines)
        yield scene.image, scene.box


def write_html_report(options: argparse.Namespace, row: Row, lines: list[NDArray]) -> None:
    """Writes the page of ``--html-report``."""
    from centerdet.evaluation.html_report import render_html_report  # here, since matplotlib is slow to import

    title = f"{options.num_samples} samples of make_data(), seed {options.seed}"
    page = render_html_report(row.detector, row.results, draw_samples(options, []), title=title, lines=lines)
    write_html(options.html_report, page)


if __name__ == "__main__":
    sys.exit(main())
