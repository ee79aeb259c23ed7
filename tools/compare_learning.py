"""Measures how accuracy grows with the number of labelled images, from several starting points.

Each run takes some of a data set's training images, trains as "centerdet train" does, and is scored on the whole test
split; validation images are those of the data set. The folder gets curves.png and results.jsonl, one line for each
finished run, which is not repeated when the command is given again. An interrupted run continues. Every value is a mean
over the seeds, with a 95 % interval over the test images and the seeds.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import product
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a checkout works without being installed

from centerdet.cli.errors import Parser, fail_cleanly
from centerdet.cli.options import add_device_option, add_set_option, add_threads_option, select_device, set_threads
from centerdet.cli.output_kinds import mark_png
from centerdet.cli.streams import print_progress, print_result, run_all
from centerdet.files import make_folder, read_regular, write_atomically
from centerdet.training.dataset_run import AUTO, NONE
from tools._curves import draw_learning_curves
from tools._learning import Run, Score, average, from_records, run_once, to_record

MAX_BYTES = 2**26  # of the results file
RESULTS, PICTURE = "results.jsonl", "curves.png"


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", help="YAML files of data sets with a test split")
    parser.add_argument(
        "--init",
        nargs="+",
        default=["generic", "accurate", NONE],
        help=f"weights, {AUTO} or {NONE}; default: %(default)s",
    )
    parser.add_argument(
        "--labels", type=int, nargs="+", default=[50, 200, 1000], help="training images; default: %(default)s"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: %(default)s")
    parser.add_argument("--minutes", type=float, help="time limit of a run's training (default: none)")
    parser.add_argument("--out", type=Path, default=Path("runs/learning"), help="folder; default: %(default)s")
    add_set_option(parser)
    add_device_option(parser)
    add_threads_option(parser)
    return parser.parse_args(arguments)


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Does the runs that are not done, and prints the table of all."""
    options = parse_arguments(arguments)
    set_threads(options.threads)
    device, path = select_device(options.device), options.out / RESULTS
    done = read_results(path)
    make_folder(options.out)
    runs = list(list_runs(options))
    for number, run in enumerate(runs, start=1):
        if run in done:
            continue
        print_progress(
            f"run {number} of {len(runs)}: {run.data}, {run.labels} labels, from {run.init}, seed {run.seed}"
        )
        done[run] = run_once(run, options.out / "runs" / run.name, device=device)
        lines = [json.dumps(to_record(*result)) + "\n" for result in done.items()]
        write_atomically(path, "".join(lines).encode())
    scores = {run: done[run] for run in runs}

    def write_picture() -> None:
        write_atomically(options.out / PICTURE, mark_png(draw_learning_curves(cells(scores, "ap"))))

    run_all(partial(print_result, table(scores)), write_picture)


def list_runs(options: argparse.Namespace) -> Iterator[Run]:
    """Yields the runs of a command line: few labels first, so that a stopped command has whole comparisons."""
    for data, labels, seed, init in product(options.data, options.labels, options.seeds, options.init):
        yield Run(
            data=str(data), labels=labels, init=init, seed=seed, minutes=options.minutes, settings=tuple(options.set)
        )


def read_results(path: Path) -> dict[Run, Score]:
    """Reads the results of earlier commands; empty if there are none.

    Raises:
        ValueError: If the file cannot be read, or the folder holds something else.
    """
    if not path.exists():
        if path.parent.is_dir() and any(path.parent.glob("*.*")):
            raise ValueError(f"{path.parent} has files and no {path.name}; name another folder (--out)")
        return {}
    try:
        return from_records(map(json.loads, read_regular(path, max_bytes=MAX_BYTES).decode().splitlines()))
    except ValueError as error:
        raise ValueError(f"cannot read {path}: {error}; name another folder (--out)") from None


def cells(scores: Mapping[Run, Score], metric: str) -> dict[str, dict[str, dict[int, tuple[float, float]]]]:
    """Averages a metric over the seeds: its mean and half of its 95 % interval, by data set, start and labels."""
    groups: dict[tuple[str, str, int], list[tuple[float, float]]] = {}
    for run, score in scores.items():
        value = getattr(score, metric), getattr(score, f"{metric}_error")
        groups.setdefault((run.data, run.init, run.labels), []).append(value)
    found: dict[str, dict[str, dict[int, tuple[float, float]]]] = {}
    for (data, init, labels), values in groups.items():
        found.setdefault(data, {}).setdefault(init, {})[labels] = average(values)
    return found


def table(scores: Mapping[Run, Score]) -> str:
    """AP@0.7 and AP@[.5:.95] as a Markdown table: a row for each data set and number of labels."""
    ap, ap_mean = cells(scores, "ap"), cells(scores, "ap_mean")
    inits = list(dict.fromkeys(run.init for run in scores))
    lines = [f"| data set | labels | {' | '.join(f'from {init}' for init in inits)} |", "|---" * (len(inits) + 2) + "|"]
    for data, labels in dict.fromkeys((run.data, run.labels) for run in scores):
        row = [f"{_format(ap[data][init][labels])} / {_format(ap_mean[data][init][labels])}" for init in inits]
        lines.append(f"| {data} | {labels:,} | {' | '.join(row)} |")
    seeds, minutes = len({run.seed for run in scores}), [score.cpu_minutes for score in scores.values()]
    lines.append(
        f"\nAP@0.7 / AP@[.5:.95], mean over seeds: {seeds}, ± half of the 95 % interval. "
        f"CPU minutes of training: {min(minutes):.1f} to {max(minutes):.1f} a run."
    )
    return "\n".join(lines)


def _format(value: tuple[float, float]) -> str:
    return f"{value[0]:.3f} ± {value[1]:.3f}"


if __name__ == "__main__":
    sys.exit(main())
