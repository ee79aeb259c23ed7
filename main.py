"""Prints the official score of a detector: AP@0.7 on default ``make_data()`` samples.

The network alone decides, or with ``--refine`` a second look by the scenes' laws. The samples are those of
``numpy.random.seed(SEED)``, a seed that training never saw.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from numpy.typing import NDArray

import centerdet
from centerdet.cli.common import fail_cleanly, parse_measurement, select_device, write_json
from centerdet.evaluation.error_analysis import error_analysis
from centerdet.evaluation.metrics import predict_all_unthresholded
from centerdet.evaluation.report import summarise
from centerdet.files import check_folder, write_atomically
from centerdet.parallel import prefetch
from centerdet.synthetic.scenes import draw_benchmark


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threshold", type=float, help="default: the one stored with the weights")
    parser.add_argument("--refine", action="store_true", help="take a second look at each detection (slower)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write a page with pictures (HTML) there")
    parser.add_argument("--breakdown", action="store_true", help="also print what the errors are, and where")
    return parse_measurement(parser, arguments, samples=10_000, seed=20_261_123)


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Scores as the command line says."""
    options = parse_arguments(arguments)
    if options.report:
        check_folder(options.report)
    detector = centerdet.load(options.weights, threshold=options.threshold, device=select_device(options.device))
    lines: list[NDArray] = []
    if options.refine:
        detector = detector.refined()
        detector.threshold = detector.threshold if options.threshold is None else options.threshold
    everything = predict_all_unthresholded(
        detector, prefetch(_draw(options, lines), 64), count=options.samples, progress=True
    )
    results = everything.above(detector.threshold)
    report = summarise(results)
    if options.report:
        from centerdet.evaluation.html_report import (
            render_html_report,  # here, since it needs matplotlib, which takes its time
        )

        title = f"{options.samples} default scenes, seed {options.seed}"
        page = render_html_report(detector, everything, _draw(options, []), title=title, lines=lines)
        write_atomically(options.report, page.encode())
    if options.json:
        write_json(options.json, {"seed": options.seed, "threshold": detector.threshold, **report.to_dict()})
    print(report)
    if options.error_analysis:
        print(f"\n{error_analysis(results, lines)}")


def _draw(options: argparse.Namespace, lines: list[NDArray]) -> Iterator[tuple[NDArray, centerdet.RotatedBox | None]]:
    """Images and boxes; where the lines ran is noted on the way."""
    for scene in draw_benchmark(options.seed, options.samples):
        lines.append(scene.lines)
        yield scene.image, scene.box


if __name__ == "__main__":
    sys.exit(main())
