"""Prints the official score of a detector: AP@0.7 on default ``make_data()`` samples.

The network alone decides; the samples are those of ``numpy.random.seed(SEED)``, a seed that training never saw.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator

from numpy.typing import NDArray

import centerdet
from centerdet.breakdown import breakdown
from centerdet.command import fail_cleanly, parse_measurement, pick_device, write_json
from centerdet.metrics import collect
from centerdet.report import summarise
from centerdet.scenes import Scene, draw_official


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threshold", type=float, help="default: the one stored with the weights")
    parser.add_argument("--breakdown", action="store_true", help="also print what the errors are, and where")
    return parse_measurement(parser, arguments, samples=10_000, seed=20_261_123)


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Scores as the command line says."""
    options = parse_arguments(arguments)
    detector = centerdet.load(options.weights, threshold=options.threshold, device=pick_device(options.device))
    lines: list[NDArray] = []
    scenes = _remember(lines, draw_official(options.seed, options.samples))
    outcomes = collect(detector, scenes, count=options.samples, progress=True)
    report = summarise(outcomes)
    print(report)
    if options.breakdown:
        print(f"\n{breakdown(outcomes, lines)}")
    if options.json:
        write_json(options.json, {"seed": options.seed, "threshold": detector.threshold, **report.to_dict()})


def _remember(lines: list[NDArray], scenes: Iterable[Scene]) -> Iterator[tuple[NDArray, centerdet.RotatedBox | None]]:
    """Images and boxes; where the lines ran is noted on the way."""
    for scene in scenes:
        lines.append(scene.lines)
        yield scene.image, scene.box


if __name__ == "__main__":
    sys.exit(main())
