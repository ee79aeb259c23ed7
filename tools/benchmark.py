"""Measures images per second of detectors and of scene generators, and compares them.

The detectors run on one image with one thread, and on batches with all threads: this library's weights in float32, in
bfloat16 where the CPU multiplies it, and in ONNX Runtime, beside a re-implementation of the regression network of
published solutions. Every measurement includes preparing the images and reading the boxes, and every network has its
batch norms folded in. The contestants take turns, round after round. The table has medians over the rounds with
quartiles, and medians of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import platform
import sys
from dataclasses import asdict
from functools import partial
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a checkout works without being installed

import centerdet
from centerdet.cli.errors import Parser, fail_cleanly
from centerdet.cli.options import add_threads_option, set_threads
from centerdet.cli.output_kinds import is_json_report, write_json
from centerdet.cli.outputs import Output, add_overwrite_option, check_outputs, weights_file
from centerdet.cli.streams import print_result, run_all
from centerdet.detector.base import BaseDetector
from centerdet.detector.pretrained import TASK_WEIGHTS
from centerdet.export import OnnxDetector, export_onnx
from centerdet.synthetic.batches import draw_batch
from centerdet.training.optim import fast_bfloat16
from tools._regression_baseline import RegressionBaseline
from tools._timing import Contestant, Row, compare, table

BATCH = 32  # images in a batch of a detector
SCENES = 64  # scenes in a batch of the generator
BASELINE, REFERENCE = "regression baseline", "make_data, scene by scene"


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = Parser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=30, help="number of rounds; default: %(default)s")
    parser.add_argument(
        "--weights",
        nargs="+",
        default=TASK_WEIGHTS,
        help="files, or names of pretrained weights (default: accurate fast)",
    )
    add_threads_option(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the result to a JSON file")
    add_overwrite_option(parser)
    options = parser.parse_args(arguments)
    inputs = [path for name in options.weights for path in weights_file(name)]
    check_outputs([Output("--json", options.json, is_json_report)], inputs, overwrite=options.overwrite)
    if options.rounds < 1:
        raise ValueError(f"--rounds must be at least 1, got {options.rounds}")
    return options


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Measures all contestants and prints the table."""
    options = parse_arguments(arguments)
    set_threads(options.threads)
    rows = benchmark_detectors(options.weights, options.rounds) + benchmark_generators(options.rounds)

    def write_rows() -> None:
        if options.json:
            machine = {"processor": platform.processor() or platform.machine(), "torch": torch.__version__}
            write_json(options.json, {**machine, "rounds": options.rounds, "rows": [asdict(row) for row in rows]})

    run_all(partial(print_result, table(rows)), write_rows)


def benchmark_detectors(weights: list[str], rounds: int) -> list[Row]:
    """Times detectors on one image with one thread and on batches with all threads."""
    all_threads = torch.get_num_threads()
    ours = {name: centerdet.load(name) for name in weights}
    images = [image for image, _ in centerdet.benchmark_scenes(0, BATCH)]
    rows = []
    with TemporaryDirectory() as folder:
        models = {name: Path(folder) / f"{number}.onnx" for number, name in enumerate(ours)}
        notes = {name: export(ours[name], model) for name, model in models.items()}
        for task, threads, chosen in (("one image", 1, images[:1]), (f"batches of {BATCH}", all_threads, images)):
            torch.set_num_threads(threads)
            onnx = {name: notes[name] or OnnxDetector(model, threads=threads) for name, model in models.items()}
            rows += compare(task, detectors(ours, onnx, chosen), rounds)
    torch.set_num_threads(all_threads)
    return rows


def benchmark_generators(rounds: int) -> list[Row]:
    """Times the scene generators with one thread and with all threads."""
    all_threads = torch.get_num_threads()
    rows = []
    for threads in sorted({1, all_threads}):
        torch.set_num_threads(threads)
        rows += compare("scenes", generators(), rounds)
    torch.set_num_threads(all_threads)
    return rows


def export(detector: centerdet.Detector, path: Path) -> str:
    """Writes a detector as ONNX; returns what is missing if that is not possible, else an empty string."""
    try:
        export_onnx(detector, path)
    except ImportError as error:
        return str(error)
    return ""


def detectors(
    ours: dict[str, centerdet.Detector], onnx: dict[str, BaseDetector | str], images: list[NDArray]
) -> dict[str, Contestant]:
    """The contestants of a detector task: each call runs one detector on all images."""

    def on_images(detector: BaseDetector) -> Contestant:
        return lambda: len(detector.detect_batch(images))

    def in_bfloat16(detector: BaseDetector) -> Contestant:
        def call() -> int:
            with torch.autocast("cpu", torch.bfloat16):
                return len(detector.detect_batch(images))

        return call

    contestants: dict[str, Contestant] = {
        BASELINE: on_images(RegressionBaseline()),
        f"{BASELINE}, channels first, whole batches": on_images(RegressionBaseline(whole_batches=True)),
    }
    fast = fast_bfloat16(torch.device("cpu"))
    for name, detector in ours.items():
        model = onnx[name]
        contestants |= {
            f"centerdet {name}, float32": on_images(detector),
            f"centerdet {name}, bfloat16": in_bfloat16(detector) if fast else "this CPU does not multiply bfloat16",
            f"centerdet {name}, ONNX Runtime": model if isinstance(model, str) else on_images(model),
        }
        if detector.refinement is not None:
            contestants[f"centerdet {name}, float32, refined"] = on_images(detector.with_refinement())
    return contestants


def generators() -> dict[str, Contestant]:
    """The contestants of the generator task: each call draws default scenes."""
    series, seeds = centerdet.benchmark_scenes(0, sys.maxsize), count()

    def batch() -> int:
        rng = np.random.Generator(np.random.SFC64(next(seeds)))
        return len(draw_batch(rng, SCENES, scenes=centerdet.ScenesConfig()).images)

    def one_by_one() -> int:
        return sum(1 for _ in islice(series, SCENES))

    return {REFERENCE: one_by_one, f"batches of {SCENES}": batch}


if __name__ == "__main__":
    sys.exit(main())
