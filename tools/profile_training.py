"""Prints where the time of a training step goes, and images per second, for each size of crop.

The last column is the same training in plain float32 with channels first (NCHW). Both take turns, so that they meet the
same load of the machine. The figures are medians over the steps.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a checkout works without being installed

import centerdet
from centerdet.cli.errors import Parser, fail_cleanly
from centerdet.cli.options import add_device_option, add_threads_option, select_device, set_threads
from centerdet.synthetic.batches import Phase, SyntheticBatches
from centerdet.training.config import Config, read_config
from centerdet.training.run_state import TrainingRun

CROP_SIZES = (64, 96, 128, 160)  # px
PARTS = ("scenes", "targets", "forward", "loss", "backward", "optimiser", "rest")


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = Parser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "default.yaml", help="default: %(default)s")
    parser.add_argument("--steps", type=int, default=30, help="steps of each kind; default: %(default)s")
    add_device_option(parser)
    add_threads_option(parser)
    options = parser.parse_args(arguments)
    if options.steps < 1:
        raise ValueError(f"--steps must be at least 1, got {options.steps}")
    return options


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Measures the steps and prints the table."""
    options = parse_arguments(arguments)
    config, device = read_config(options.config), select_device(options.device)
    set_threads(options.threads)
    size = config.curriculum.batch_size
    print(f"batches of {size} on {device}, {torch.get_num_threads()} threads, {options.steps} steps of each kind\n")
    print(f"| crop | {' | '.join(PARTS)} | step | images/s | float32 NCHW |\n{'|---' * (len(PARTS) + 4)}|")
    for crop_size in CROP_SIZES:
        ours, plain = (times[1:] for times in measure(config, crop_size, options.steps, device))  # without a warm-up
        parts, step = np.median(ours, axis=0), np.median(ours.sum(1))
        rates = [size / np.median(times.sum(1)) for times in (ours, plain)]
        shares = " | ".join(f"{part / parts.sum():.1%}" for part in parts)
        print(f"| {crop_size} px | {shares} | {step * 1000:.0f} ms | {rates[0]:.0f} | {rates[1]:.0f} |")


def measure(config: Config, crop_size: int, steps: int, device: torch.device) -> list[NDArray[np.float64]]:
    """Seconds of each part of each step ``(steps + 1, parts)``: as trained, and in float32 with channels first."""
    curriculum = replace(config.curriculum, phases=(Phase(crop_size=crop_size),))
    scenes = SyntheticBatches(0, steps=steps + 1, scenes=config.scenes, curriculum=curriculum, device=device)
    layouts = (torch.channels_last, torch.contiguous_format)
    runs = []
    for layout, precision in zip(layouts, (config.training.precision, "float32"), strict=True):
        with patch.object(torch, "channels_last", layout):
            network, codec = centerdet.CenterNet(config.network), centerdet.Codec(stride=config.network.stride)
            training = replace(config.training, precision=precision)
            runs.append(TrainingRun(network, codec, centerdet.CenterLoss(), training, Path(), device, {}))
    times: list[list[list[float]]] = [[], []]
    for step in range(steps + 1):
        for run, layout, run_times in zip(runs, layouts, times, strict=True):
            with patch.object(torch, "channels_last", layout):
                run_times.append(time_step(run, scenes, step))
    return [np.array(run_times) for run_times in times]


def time_step(run: TrainingRun, scenes: SyntheticBatches, step: int) -> list[float]:
    """Seconds that each of the ``PARTS`` of one step takes."""
    seconds = dict.fromkeys(PARTS, 0.0)

    def now() -> float:
        if run.device.type == "cuda":
            torch.cuda.synchronize(run.device)
        return time.perf_counter()

    def timed(function: Callable[..., Any], part: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            start = now()
            result = function(*arguments, **options)
            seconds[part] += now() - start
            return result

        return call

    places = [(run.codec, "encode", "targets"), (run.network, "forward", "forward"), (run.criterion, "forward", "loss")]
    places += [(torch.Tensor, "backward", "backward"), (run.ema, "update_parameters", "optimiser")]
    places += [(optimizer, "step", "optimiser") for optimizer in run.optimizers]
    with ExitStack() as stack:
        for owner, name, part in places:
            stack.enter_context(patch.object(owner, name, timed(getattr(owner, name), part)))
        start = now()
        run.train_step(timed(scenes.__getitem__, "scenes")(step))
        seconds["rest"] = now() - start - sum(seconds.values())
    return list(seconds.values())


if __name__ == "__main__":
    sys.exit(main())
