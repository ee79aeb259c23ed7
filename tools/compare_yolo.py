"""Trains a nano YOLO-OBB of Ultralytics from scratch on a data set, and scores it as centerdet is scored.

It trains on one thread for a given CPU time, with AdamW and else its own settings. Its score is the task's: at most one
box in an image, the most likely one, above the threshold that is best on the validation images. With --weights, weights
of centerdet that were trained on the same files have a row beside it. Ultralytics is AGPL and no requirement of this
library; it needs an environment of its own:

    python3.11 -m venv yolo
    yolo/bin/pip install -r requirements.txt ultralytics==8.4.190
    yolo/bin/pip uninstall -y opencv-python    # it has the same files as opencv-python-headless
    yolo/bin/pip install --force-reinstall --no-deps -r requirements.txt
    yolo/bin/python tools/compare_yolo.py data.yaml --minutes 20 --weights runs/mine/best.safetensors

If torch is built for CPUs alone, torchvision ends with "operator torchvision::nms does not exist": delete
"_meta_registrations," from torchvision/__init__.py of that environment.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a checkout works without being installed

import centerdet
from centerdet.box import box_corners
from centerdet.cli.errors import Parser, fail_cleanly
from centerdet.cli.output_kinds import write_json
from centerdet.cli.outputs import check_new_folder
from centerdet.cli.streams import print_result, run_all
from centerdet.data.dataset import Dataset, load_dataset, load_training_splits
from centerdet.data.image_io import image_size
from centerdet.evaluation.metrics import predict_all
from centerdet.evaluation.report import EvaluationReport, EvaluationResults, summarise
from centerdet.evaluation.threshold import choose_threshold
from tools._yolo import STRIDE, YoloDetector, import_yolo, train_yolo, write_yolo_dataset

TIMED_IMAGES = 200  # whose time is measured, one by one


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One detector.

    Attributes:
        name: What it is.
        report: On the test split.
        inside: On those test images whose object lies within the image, or that have none.
        milliseconds: Median CPU time of an image on one thread.
        parameters: Number of parameters.
        train_minutes: CPU time of its training; ``None``: not known here.
    """

    name: str
    report: EvaluationReport
    inside: EvaluationReport
    milliseconds: float
    parameters: int
    train_minutes: float | None = None


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="YAML file of a data set with a test split, as of centerdet train")
    parser.add_argument("--minutes", type=float, default=20.0, help="CPU time of the training; default: %(default)s")
    parser.add_argument("--model", default="yolo26n-obb.yaml", help="model without weights; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--weights", help="weights of centerdet for a further row")
    parser.add_argument("--out", type=Path, default=Path("runs/yolo"), help="new folder; default: %(default)s")
    options = parser.parse_args(arguments)
    if not 0 < options.minutes < float("inf"):
        raise ValueError(f"--minutes must be above 0, got {options.minutes}")
    if not options.model.endswith(".yaml"):
        raise ValueError(f"--model must be a .yaml, which has no weights, got {options.model}")
    check_new_folder(options.out)
    return options


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Trains, scores, and prints the table."""
    options = parse_arguments(arguments)
    os.environ.setdefault("YOLO_CONFIG_DIR", str(options.out))  # its settings, which it writes at import
    torch.set_num_threads(1)
    import_yolo()  # before the long work
    train, validation, _ = load_training_splits(options.data)
    splits = {"train": train, "validation": validation, "test": load_dataset(options.data, "test")}
    ours = None if options.weights is None else centerdet.load(options.weights)
    side = STRIDE * -(-max(max(image_size(item.path)) for item in train.items) // STRIDE)
    start, data = time.process_time(), write_yolo_dataset(splits, options.out / "data")
    weights = train_yolo(data, options.out, model=options.model, minutes=options.minutes, side=side, seed=options.seed)
    minutes, detector = (time.process_time() - start) / 60, YoloDetector(weights, side)
    torch.set_num_threads(1)  # it sets its own number
    detector.threshold = choose_threshold(predict_all(detector, validation, progress=True, ignore_threshold=True))
    rows = [
        measure(
            Path(options.model).stem, detector, splits["test"], parameters=detector.parameters, train_minutes=minutes
        )
    ]
    if ours is not None:
        networks = [ours.network, *([ours.second_stage.network] if ours.second_stage else [])]
        parameters = sum(parameter.numel() for network in networks for parameter in network.parameters())
        rows.append(measure("centerdet", ours, splits["test"], parameters=parameters))
    write_rows = partial(write_json, options.out / "result.json", [asdict(row) for row in rows])
    run_all(partial(print_result, table(rows)), write_rows)


def measure(
    name: str,
    detector: Callable[..., Any],
    test: Dataset,
    *,
    parameters: int,
    train_minutes: float | None = None,
) -> Row:
    """Scores a detector on a test split, and times it; the other arguments are those of ``Row``."""
    results = predict_all(detector, test, progress=True)
    times = []
    for image, _ in test[:TIMED_IMAGES]:
        start = time.process_time()
        detector(image)
        times.append(time.process_time() - start)
    inside = summarise(select_inside(results, [image_size(item.path) for item in test.items]))
    return Row(
        name=name,
        report=summarise(results),
        inside=inside,
        milliseconds=1e3 * float(np.median(times)),
        parameters=parameters,
        train_minutes=train_minutes,
    )


def select_inside(results: EvaluationResults, sizes: Sequence[tuple[int, int]]) -> EvaluationResults:
    """Leaves out the images whose object is cut by the border; sizes: their widths and heights, px."""
    corners = box_corners(results.target)  # (N, 4, 2), NaN without an object
    limits = np.array(sizes)[:, None] - 0.5
    keep = ~((corners < -0.5) | (corners > limits)).any(axis=(1, 2))
    arrays = {name: getattr(results, name)[keep] for name in ("scores", "predicted", "target", "iou")}
    return results._replace(**arrays)


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| detector | AP@0.7 (95 % interval) | AP@[.5:.95] | AP@0.7, uncut | ms an image | parameters | CPU min |",
        "|---" * 7 + "|",
    ]
    for row in rows:
        report, minutes = row.report, "" if row.train_minutes is None else f"{row.train_minutes:.1f}"
        lines.append(
            f"| {row.name} | {report.ap:.3f} ({report.ap_low:.3f} to {report.ap_high:.3f}) | {report.ap_mean:.3f} | "
            f"{row.inside.ap:.3f} | {row.milliseconds:.1f} | {row.parameters:,} | {minutes} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
