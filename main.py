"""Prints the official score of a detector: AP@0.7 on default ``make_data()`` samples.

The network alone decides; the samples are those of ``numpy.random.seed(SEED)``, a seed that training never saw.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from numpy.typing import NDArray

import centerdet
from centerdet.breakdown import breakdown
from centerdet.command import fail_cleanly, pick_device
from centerdet.files import check_folder, write_atomically
from centerdet.metrics import collect
from centerdet.report import summarise
from centerdet.scenes import Scene, draw_official


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=10_000, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=20_261_123, help="of the samples; default: %(default)s")
    parser.add_argument("--weights", type=Path, help="default: the shipped ones")
    parser.add_argument("--threshold", type=float, help="default: the one stored with the weights")
    parser.add_argument("--device", help="a torch device (default: a GPU if there is one)")
    parser.add_argument("--breakdown", action="store_true", help="also print what the errors are, and where")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there, too")
    return parser.parse_args(arguments)


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Scores as the command line says."""
    options = parse_arguments(arguments)
    if options.json:
        check_folder(options.json)
    if options.samples < 1:
        raise ValueError(f"--samples must be at least 1, got {options.samples}")
    device = pick_device(options.device)
    detector = centerdet.load(options.weights, threshold=options.threshold, device=device)
    lines: list[NDArray] = []
    scenes = _remember(lines, draw_official(options.seed, options.samples))
    outcomes = collect(detector, scenes, count=options.samples, progress=True)
    report = summarise(outcomes)
    print(report)
    if options.breakdown:
        print(f"\n{breakdown(outcomes, lines)}")
    if options.json:
        facts = {"seed": options.seed, "threshold": detector.threshold, **report.to_dict()}
        write_atomically(options.json, (json.dumps(facts, indent=2) + "\n").encode())


def _remember(lines: list[NDArray], scenes: Iterable[Scene]) -> Iterator[tuple[NDArray, centerdet.RotatedBox | None]]:
    """Images and boxes; where the lines ran is noted on the way."""
    for scene in scenes:
        lines.append(scene.lines)
        yield scene.image, scene.box


if __name__ == "__main__":
    sys.exit(main())
