"""Prints AP@0.7 over noise levels 0.6 to 1.0 and 0 to 12 lines: how far the detector carries beyond the default scenes.

Each cell has ``--samples`` samples. The same weights and threshold throughout, nothing is tuned. The default scenes are
marked with a star.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a checkout works without being installed

import centerdet
from centerdet.command import fail_cleanly, parse_measurement, pick_device, write_json

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
    detector = centerdet.load(options.weights, device=pick_device(options.device))
    reports: dict[tuple[float, int], centerdet.Report] = {}
    cells = [(noise_level, no_lines) for noise_level in NOISE_LEVELS for no_lines in LINES]
    for noise_level, no_lines in tqdm(cells, unit="cell", disable=None):
        scenes = centerdet.official_scenes(options.seed, options.samples, noise_level=noise_level, no_lines=no_lines)
        reports[noise_level, no_lines] = centerdet.evaluate(detector, scenes, count=options.samples)
    print(table(reports))
    if options.json:
        facts = [
            {"noise_level": noise_level, "no_lines": no_lines, **report.to_dict()}
            for (noise_level, no_lines), report in reports.items()
        ]
        write_json(options.json, facts)


def table(reports: dict[tuple[float, int], centerdet.Report]) -> str:
    """AP@0.7 with noise levels down and numbers of lines across, as Markdown."""
    rows = [
        "| noise level | " + " | ".join(f"{lines} lines" for lines in LINES) + " |",
        "|---" * (len(LINES) + 1) + "|",
    ]
    for noise in NOISE_LEVELS:
        cells = [f"{reports[noise, lines].ap:.3f}{' *' * ((noise, lines) == (0.8, 6))}" for lines in LINES]
        rows.append(f"| {noise} | {' | '.join(cells)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
