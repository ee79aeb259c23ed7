"""Times detectors, and generators of scenes, side by side: how many images a second, and how that compares.

One image on one thread, and batches on all: this detector in float32, in bfloat16 where the CPU multiplies it, and in
ONNX Runtime; beside them our re-implementation of the regression network that published solutions use. All of them
prepare their images and read their answers, batch norms are folded in everywhere. Contestants take turns, round after
round; what is printed are medians over the rounds, with quartiles, and medians of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a checkout works without being installed

import centerdet
from centerdet.cli.common import fail_cleanly, set_threads, write_json
from centerdet.detector.base import BaseDetector
from centerdet.detector.pretrained import PRETRAINED
from centerdet.export.onnx import OnnxDetector, export_onnx
from centerdet.files import check_folder
from centerdet.synthetic.batches import draw_batch
from centerdet.training.optim import fast_bfloat16
from tools._regression_baseline import RegressionBaseline

BATCH = 32  # images for a detector
SCENES = 64  # in a batch of the generator's
BASELINE, REFERENCE = "regression baseline", "make_data, scene by scene"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What was seen of one contestant; speeds are images per second.

    Attributes:
        task: What was timed.
        threads: CPU threads.
        name: Of the contestant.
        median: Over the rounds; ``None``: it cannot run here.
        quartiles: The same.
        ratio: Median over the rounds of its speed divided by the first contestant's.
        note: Why it cannot run.
    """

    task: str
    threads: int
    name: str
    median: float | None = None
    quartiles: tuple[float, float] | None = None
    ratio: float | None = None
    note: str = ""


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30, help="default: %(default)s")
    parser.add_argument(
        "--weights", nargs="+", default=list(PRETRAINED), help="files, or names; default: all shipped ones"
    )
    parser.add_argument("--threads", type=int, help="what 'all threads' is (default: all cores)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there, too")
    options = parser.parse_args(arguments)
    if options.json:
        check_folder(options.json)
    if options.rounds < 1:
        raise ValueError(f"--rounds must be at least 1, got {options.rounds}")
    return options


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Times as the command line says."""
    options = parse_arguments(arguments)
    set_threads(options.threads)
    every = torch.get_num_threads()
    ours = {name: centerdet.load(name) for name in options.weights}
    images = [image for image, _ in centerdet.benchmark_scenes(0, BATCH)]
    rows = []
    with TemporaryDirectory() as folder:
        models = {name: Path(folder) / f"{number}.onnx" for number, name in enumerate(ours)}
        notes = {name: export(ours[name], model) for name, model in models.items()}
        for task, threads, given in (("one image", 1, images[:1]), (f"batches of {BATCH}", every, images)):
            torch.set_num_threads(threads)
            onnx = {name: notes[name] or OnnxDetector(model, threads=threads) for name, model in models.items()}
            rows += compare(task, detectors(ours, onnx, given), options.rounds)
    for threads in sorted({1, every}):
        torch.set_num_threads(threads)
        rows += compare("scenes", generators(), options.rounds)
    torch.set_num_threads(every)
    print(table(rows))
    if options.json:
        machine = {"processor": platform.processor() or platform.machine(), "torch": torch.__version__}
        write_json(options.json, {**machine, "rounds": options.rounds, "rows": [asdict(row) for row in rows]})


def export(detector: centerdet.Detector, path: Path) -> str:
    """Writes a detector as ONNX; says what is missing if that is not possible."""
    try:
        export_onnx(detector, path)
    except ImportError as error:
        return str(error)
    return ""


def detectors(
    ours: dict[str, centerdet.Detector], onnx: dict[str, BaseDetector | str], images: list[NDArray]
) -> dict[str, Callable[[], int] | str]:
    """The contestants: each call looks at all images, and says how many; a text says why there is no such call."""

    def looking(finder: BaseDetector) -> Callable[[], int]:
        return lambda: len(finder.detect_batch(images))

    def in_bfloat16(finder: BaseDetector) -> Callable[[], int]:
        def call() -> int:
            with torch.autocast("cpu", torch.bfloat16):
                return len(finder.detect_batch(images))

        return call

    contestants: dict[str, Callable[[], int] | str] = {
        BASELINE: looking(RegressionBaseline()),
        f"{BASELINE}, channels first, whole batches": looking(RegressionBaseline(plain=True)),
    }
    fast = fast_bfloat16(torch.device("cpu"))
    for name, detector in ours.items():
        model = onnx[name]
        contestants |= {
            f"centerdet {name}, float32": looking(detector),
            f"centerdet {name}, bfloat16": in_bfloat16(detector) if fast else "this CPU does not multiply bfloat16",
            f"centerdet {name}, ONNX Runtime": model if isinstance(model, str) else looking(model),
        }
    return contestants


def generators() -> dict[str, Callable[[], int]]:
    """The contestants: each call draws default scenes, and says how many."""
    series, seeds = centerdet.benchmark_scenes(0, sys.maxsize), count()

    def batch() -> int:
        rng = np.random.Generator(np.random.SFC64(next(seeds)))
        return len(draw_batch(rng, SCENES, scenes=centerdet.ScenesConfig()).images)

    def one_by_one() -> int:
        return sum(1 for _ in islice(series, SCENES))

    return {REFERENCE: one_by_one, f"batches of {SCENES}": batch}


def compare(task: str, contestants: dict[str, Callable[[], int] | str], rounds: int) -> list[Row]:
    """Lets contestants take turns; ratios are to the first of them."""
    able = {name: call for name, call in contestants.items() if callable(call)}
    speeds: dict[str, list[float]] = {name: [] for name in able}
    for call in able.values():
        call()  # the first call of each makes plans and buffers
    for _ in tqdm(range(rounds), desc=task, leave=False, disable=None):
        for name, call in able.items():
            start = time.perf_counter()
            seen = call()
            speeds[name].append(seen / (time.perf_counter() - start))
    first = np.array(next(iter(speeds.values())))
    rows = []
    for name, call in contestants.items():
        facts = {"task": task, "threads": torch.get_num_threads(), "name": name}
        if name not in able:
            rows.append(Row(**facts, note=str(call)))
            continue
        low, median, high = np.percentile(speeds[name], [25, 50, 75]).tolist()
        ratio = float(np.median(np.array(speeds[name]) / first))
        rows.append(Row(**facts, median=median, quartiles=(low, high), ratio=ratio))
    return rows


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    lines = ["| task | threads | contestant | images/s (quartiles) | ratio |", "|---" * 5 + "|"]
    for row in rows:
        seen = row.note
        if row.median is not None:
            seen = f"{row.median:,.0f} ({row.quartiles[0]:,.0f} to {row.quartiles[1]:,.0f})"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        lines.append(f"| {row.task} | {row.threads} | {row.name} | {seen} | {ratio} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
