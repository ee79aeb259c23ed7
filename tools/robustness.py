"""Prints AP@0.7 over noise levels 0.6 to 1.0 and 0 to 12 lines: how far the detector carries beyond the default scenes.

Each cell has ``--samples`` samples. The same weights and threshold throughout, nothing is tuned. In the rows marked
"told" the detector knows the noise level (``Detector.with_noise_level``). The default scenes are marked with a star.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a checkout works without being installed

import centerdet
from centerdet.cli.common import fail_cleanly, parse_measurement, select_device, write_json

NOISE_LEVELS = (0.6, 0.7, 0.8, 0.9, 1.0)
LINES = (0, 3, 6, 9, 12)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    return parse_measurement(parser, arguments, samples=2000, seed=20_261_124)  # samples in each cell


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Measures as the command line says."""
    options = parse_arguments(arguments)
    detector = centerdet.load(options.weights, device=select_device(options.device))
    usual = detector.network.config.noise_level
    reports: dict[tuple[float, bool, int], centerdet.EvaluationReport] = {}
    rows = [(level, told) for level in NOISE_LEVELS for told in (False, True) if not told or usual not in (None, level)]
    cells = [(level, told, num_lines) for level, told in rows for num_lines in LINES]
    for level, told, num_lines in tqdm(cells, unit="cell", disable=None):
        scenes = centerdet.benchmark_scenes(options.seed, options.samples, noise_level=level, num_lines=num_lines)
        able = detector.with_noise_level(level) if told else detector
        reports[level, told, num_lines] = centerdet.evaluate(able, scenes, count=options.samples)
    print(table(reports))
    if options.json:
        facts = [
            {"noise_level": level, "told": told, "no_lines": num_lines, **report.to_dict()}
            for (level, told, num_lines), report in reports.items()
        ]
        write_json(options.json, facts)


def table(reports: dict[tuple[float, bool, int], centerdet.EvaluationReport]) -> str:
    """AP@0.7 with noise levels down and numbers of lines across, as Markdown."""
    lines = [
        "| noise level | " + " | ".join(f"{lines} lines" for lines in LINES) + " |",
        "|---" * (len(LINES) + 1) + "|",
    ]
    for level, told in dict.fromkeys((level, told) for level, told, _ in reports):
        stars = {num_lines: " *" for num_lines in LINES if (level, num_lines) == (0.8, 6)}
        cells = [f"{reports[level, told, num_lines].ap:.3f}{stars.get(num_lines, '')}" for num_lines in LINES]
        lines.append(f"| {level}{', told' if told else ''} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
