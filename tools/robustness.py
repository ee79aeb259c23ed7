"""Prints AP@0.7 over noise levels 0.6 to 1.0 and 0 to 12 lines: how the detector does beyond the default scenes.

All cells have the same weights and threshold; nothing is tuned. In the rows "as is", the detector takes every image for
one of its weights' own noise level; in the rows "auto", it measures the level of each image. The star marks the default
scenes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from numpy.typing import NDArray
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a checkout works without being installed

import centerdet
from centerdet.cli.errors import Parser, fail_cleanly
from centerdet.cli.options import parse_evaluation_options, select_device
from centerdet.cli.output_kinds import write_json
from centerdet.cli.streams import print_result, run_all
from centerdet.evaluation.metrics import predict_stages
from centerdet.evaluation.report import summarise

NOISE_LEVELS = (0.6, 0.7, 0.8, 0.9, 1.0)
NUM_LINES = (0, 3, 6, 9, 12)
AS_IS, AUTO, REFINED = "as is", "auto", "auto and refined"  # the detectors
DEFAULT = (0.8, 6)  # noise level and number of lines of the task


class Cell(NamedTuple):
    """One cell of the table.

    Attributes:
        noise_level: Noise level of the scenes.
        detector: How the detector gets it: ``AS_IS``, ``AUTO`` or ``REFINED``.
        num_lines: Number of lines in a scene.
    """

    noise_level: float
    detector: str
    num_lines: int


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--noise-levels", type=float, nargs="+", default=list(NOISE_LEVELS), help="default: %(default)s"
    )
    parser.add_argument("--num-lines", type=int, nargs="+", default=list(NUM_LINES), help="default: %(default)s")
    return parse_evaluation_options(parser, arguments, num_samples=2000, seed=20_261_124)  # samples in each cell


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Evaluates the detector in every cell and prints the table."""
    options = parse_arguments(arguments)
    detector = centerdet.load(options.weights, device=select_device(options.device))
    grid = [(level, number) for level in options.noise_levels for number in options.num_lines]
    reports: dict[Cell, centerdet.EvaluationReport] = {}

    def write_cells() -> None:
        if options.json:
            write_json(options.json, [{**cell._asdict(), **report.to_dict()} for cell, report in reports.items()])

    for level, number in tqdm(grid, unit="scene", disable=None):
        reports |= measure(detector, level, number, options.seed, options.num_samples)
        with suppress(OSError):  # after each: a stopped run keeps what it has; a full disk may have space at the end
            write_cells()
    run_all(partial(print_result, table(reports)), write_cells)


def measure(
    detector: centerdet.Detector, noise_level: float, num_lines: int, seed: int, num_samples: int
) -> dict[Cell, centerdet.EvaluationReport]:
    """Evaluates a detector on one kind of scenes. Weights without a noise level or a refinement have fewer rows."""

    def scenes() -> Iterator[tuple[NDArray, centerdet.RotatedBox | None]]:
        return centerdet.benchmark_scenes(seed, num_samples, noise_level=noise_level, num_lines=num_lines)

    trained = detector.trained_noise_level
    if trained is None:
        report = centerdet.evaluate(detector, scenes(), count=num_samples)
        return {Cell(noise_level, AS_IS, num_lines): report}
    fixed, auto = detector.with_noise_level(trained), detector.with_noise_level("auto")
    reports = {Cell(noise_level, AS_IS, num_lines): centerdet.evaluate(fixed, scenes(), count=num_samples)}
    if auto.refinement is None:
        reports[Cell(noise_level, AUTO, num_lines)] = centerdet.evaluate(auto, scenes(), count=num_samples)
        return reports
    refined = auto.with_refinement()
    for name, one, results in zip(
        (AUTO, REFINED), (auto, refined), predict_stages(refined, scenes(), count=num_samples), strict=True
    ):
        reports[Cell(noise_level, name, num_lines)] = summarise(results.above(one.threshold))
    return reports


def table(reports: dict[Cell, centerdet.EvaluationReport]) -> str:
    """AP@0.7 as a Markdown table: a row for each noise level and detector, a column for each number of lines."""
    columns = list(dict.fromkeys(cell.num_lines for cell in reports))
    lines = [f"| noise level | {' | '.join(f'{number} lines' for number in columns)} |"]
    lines.append("|---" * (len(columns) + 1) + "|")
    for level, name in dict.fromkeys((cell.noise_level, cell.detector) for cell in reports):
        values = []
        for num_lines in columns:
            star = " *" if (level, num_lines) == DEFAULT else ""
            values.append(f"{reports[Cell(level, name, num_lines)].ap:.3f}{star}")
        lines.append(f"| {level}, {name} | {' | '.join(values)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
