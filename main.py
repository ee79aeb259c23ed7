"""Prints the score of a detector on the task: AP@0.7 on samples of ``make_data()`` with its default arguments.

AP@0.7 is the task's definition: the fraction of samples with IoU above 0.7, over the samples in which a box is
predicted or true. The samples are those of ``numpy.random.seed(SEED)``, which training never used. With ``--refine``,
the detections are refined with the model of the scenes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from numpy.typing import NDArray

import centerdet
from centerdet.cli.common import fail_cleanly, parse_evaluation_options, select_device
from centerdet.cli.output_kinds import write_html, write_json
from centerdet.cli.streams import run_all
from centerdet.detector.base import BaseDetector
from centerdet.evaluation.error_analysis import error_analysis
from centerdet.evaluation.metrics import predict_all
from centerdet.evaluation.report import EvaluationResults, summarise
from centerdet.parallel import prefetch
from centerdet.synthetic.scenes import draw_benchmark

SEED = 20_261_123  # default seed of the samples
NUM_SAMPLES = 10_000  # gives a 95 % interval of about +- 0.005
PREFETCH = 64  # samples drawn while the detector works on as many


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threshold", type=float, help="score threshold (default: the one stored with the weights)")
    parser.add_argument("--refine", action="store_true", help="refine each detection (slower)")
    parser.add_argument("--html-report", type=Path, metavar="FILE", help="write an HTML page with pictures")
    parser.add_argument("--error-analysis", action="store_true", help="also print the errors by cause and place")
    return parse_evaluation_options(parser, arguments, num_samples=NUM_SAMPLES, seed=SEED)


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Evaluates a detector, prints the report, and writes the files that the options name."""
    options = parse_arguments(arguments)
    detector: BaseDetector = load_detector(options)
    lines: list[NDArray] = []
    scenes = prefetch(draw_samples(options, lines), PREFETCH)
    results = predict_all(detector, scenes, count=options.num_samples, progress=True, ignore_threshold=True)
    above = results.above(detector.threshold)
    report = summarise(above)

    def write_scores() -> None:
        if options.json:
            write_json(options.json, {"seed": options.seed, "threshold": detector.threshold, **report.to_dict()})

    def print_errors() -> None:
        if options.error_analysis:
            print(f"\n{error_analysis(above, lines)}", flush=True)

    def write_report() -> None:
        if options.html_report:
            write_html_report(options, detector, results, lines)

    # The scores first: neither a closed output nor a full disk costs what can still be written.
    run_all(partial(print, report, flush=True), write_scores, print_errors, write_report)


def load_detector(options: argparse.Namespace) -> BaseDetector:
    """Loads the detector, with refinement and threshold as the options say."""
    detector = centerdet.load(options.weights, threshold=options.threshold, device=select_device(options.device))
    if not options.refine:
        return detector
    refined = detector.with_refinement()
    if options.threshold is not None:
        refined.threshold = options.threshold
    return refined


def draw_samples(
    options: argparse.Namespace, lines: list[NDArray]
) -> Iterator[tuple[NDArray, centerdet.RotatedBox | None]]:
    """Yields images and boxes; appends the ends of each image's lines ``(K, 4)``, px, to ``lines``."""
    for scene in draw_benchmark(options.seed, options.num_samples):
        lines.append(scene.lines)
        yield scene.image, scene.box


def write_html_report(
    options: argparse.Namespace, detector: BaseDetector, results: EvaluationResults, lines: list[NDArray]
) -> None:
    """Writes the page of ``--html-report``."""
    from centerdet.evaluation.html_report import render_html_report  # here, since matplotlib is slow to import

    title = f"{options.num_samples} samples of make_data(), seed {options.seed}"
    page = render_html_report(detector, results, draw_samples(options, []), title=title, lines=lines)
    write_html(options.html_report, page)


if __name__ == "__main__":
    sys.exit(main())
