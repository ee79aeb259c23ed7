"""Prints AP@0.7 over noise levels 0.6 to 1.0 and 0 to 12 lines: how the detector does beyond the default scenes.

All cells have the same weights and threshold; nothing is tuned. In the rows "level given", the detector knows the noise
level (``Detector.with_noise_level``). The star marks the default scenes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a checkout works without being installed

import centerdet
from centerdet.cli.common import Parser, fail_cleanly, parse_evaluation_options, select_device
from centerdet.cli.output_kinds import write_json

NOISE_LEVELS = (0.6, 0.7, 0.8, 0.9, 1.0)
NUM_LINES = (0, 3, 6, 9, 12)
DEFAULT = (0.8, 6)  # noise level and number of lines of the task


class Cell(NamedTuple):
    """One cell of the table.

    Attributes:
        noise_level: Noise level of the scenes.
        level_given: Whether the detector knows it.
        num_lines: Number of lines in a scene.
    """

    noise_level: float
    level_given: bool
    num_lines: int


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    return parse_evaluation_options(parser, arguments, num_samples=2000, seed=20_261_124)  # samples in each cell


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Evaluates the detector in every cell and prints the table."""
    options = parse_arguments(arguments)
    detector = centerdet.load(options.weights, device=select_device(options.device))
    reports = measure(detector, options.seed, options.num_samples)
    print(table(reports))
    if options.json:
        write_json(options.json, [{**cell._asdict(), **report.to_dict()} for cell, report in reports.items()])


def measure(detector: centerdet.Detector, seed: int, num_samples: int) -> dict[Cell, centerdet.EvaluationReport]:
    """Evaluates a detector in every cell. Rows with the level given exist where it differs from the weights' own."""
    trained = detector.network.config.noise_level
    cells = [
        Cell(level, level_given, num_lines)
        for level in NOISE_LEVELS
        for level_given in (False, True)
        if not level_given or trained not in (None, level)
        for num_lines in NUM_LINES
    ]
    reports = {}
    for cell in tqdm(cells, unit="cell", disable=None):
        scenes = centerdet.benchmark_scenes(seed, num_samples, noise_level=cell.noise_level, num_lines=cell.num_lines)
        adapted = detector.with_noise_level(cell.noise_level) if cell.level_given else detector
        reports[cell] = centerdet.evaluate(adapted, scenes, count=num_samples)
    return reports


def table(reports: dict[Cell, centerdet.EvaluationReport]) -> str:
    """AP@0.7 as a Markdown table: a row for each noise level, a column for each number of lines."""
    lines = [f"| noise level | {' | '.join(f'{number} lines' for number in NUM_LINES)} |"]
    lines.append("|---" * (len(NUM_LINES) + 1) + "|")
    for level, level_given in dict.fromkeys((cell.noise_level, cell.level_given) for cell in reports):
        values = []
        for num_lines in NUM_LINES:
            star = " *" if (level, num_lines) == DEFAULT else ""
            values.append(f"{reports[Cell(level, level_given, num_lines)].ap:.3f}{star}")
        lines.append(f"| {level}{', level given' if level_given else ''} | {' | '.join(values)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
