"""Prints where the time of a training step goes, and how many images a second it makes of it, for each size of window.

Beside it, the same steps in plain float32 with channels first (NCHW). All of them take turns, so that they meet the
same machine; the figures are medians.
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

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a checkout works without being installed

import centerdet
from centerdet.cli.common import fail_cleanly, select_device, set_threads
from centerdet.synthetic.batches import Phase, SyntheticBatches
from centerdet.training.config import Config, read_config
from centerdet.training.run import TrainingRun

WINDOWS = (64, 96, 128, 160)
PARTS = ("scenes", "targets", "forward", "loss", "backward", "optimiser", "rest")


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "default.yaml", help="default: %(default)s")
    parser.add_argument("--steps", type=int, default=30, help="of each kind; default: %(default)s")
    parser.add_argument("--device", help="a torch device (default: a GPU if there is one)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
    options = parser.parse_args(arguments)
    if options.steps < 1:
        raise ValueError(f"--steps must be at least 1, got {options.steps}")
    return options


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Measures as the command line says."""
    options = parse_arguments(arguments)
    config, device = read_config(options.config), select_device(options.device)
    set_threads(options.threads)
    size = config.curriculum.batch_size
    print(f"batches of {size} on {device}, {torch.get_num_threads()} threads, {options.steps} steps of each kind\n")
    print(f"| window | {' | '.join(PARTS)} | step | images/s | float32 NCHW |\n{'|---' * (len(PARTS) + 4)}|")
    for crop_size in WINDOWS:
        ours, plain = measure(config, crop_size, options.steps, device)
        parts, step = np.median(ours[1:], axis=0), np.median(ours[1:].sum(1))  # the first step is not like the others
        rates = [size / np.median(times[1:].sum(1)) for times in (ours, plain)]
        shares = " | ".join(f"{part / parts.sum():.1%}" for part in parts)
        print(f"| {crop_size} px | {shares} | {step * 1000:.0f} ms | {rates[0]:.0f} | {rates[1]:.0f} |")


def measure(config: Config, crop_size: int, steps: int, device: torch.device) -> list[np.ndarray]:
    """Seconds of each part of each step ``(steps + 1, parts)``: as trained, and in float32 with channels first."""
    curriculum = replace(config.curriculum, phases=(Phase(crop_size=crop_size),))
    scenes = SyntheticBatches(0, steps=steps + 1, scenes=config.scenes, curriculum=curriculum, device=device)
    formats = (torch.channels_last, torch.contiguous_format)
    runs = []
    for layout, precision in zip(formats, (config.training.precision, "float32"), strict=True):
        with patch.object(torch, "channels_last", layout):
            network, codec = centerdet.CenterNet(config.network), centerdet.Codec(stride=config.network.stride)
            training = replace(config.training, precision=precision)
            runs.append(TrainingRun(network, codec, centerdet.CenterLoss(), training, Path(), device, {}))
    times: list[list[list[float]]] = [[], []]
    for step in range(steps + 1):
        for run, layout, its_times in zip(runs, formats, times, strict=True):
            with patch.object(torch, "channels_last", layout):
                its_times.append(time_step(run, scenes, step))
    return [np.array(its_times) for its_times in times]


def time_step(run: TrainingRun, scenes: SyntheticBatches, step: int) -> list[float]:
    """Seconds that the ``PARTS`` of one step take."""
    seconds = dict.fromkeys(PARTS, 0.0)

    def now() -> float:
        if run.device.type == "cuda":
            torch.cuda.synchronize(run.device)
        return time.perf_counter()

    def watched(function: Callable[..., Any], part: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            start = now()
            result = function(*arguments, **options)
            seconds[part] += now() - start
            return result

        return call

    places = [(run.codec, "encode", "targets"), (run.network, "forward", "forward"), (run.criterion, "forward", "loss")]
    places += [(torch.Tensor, "backward", "backward"), (run.average, "update_parameters", "optimiser")]
    places += [(optimizer, "step", "optimiser") for optimizer in run.optimizers]
    with ExitStack() as stack:
        for owner, name, part in places:
            stack.enter_context(patch.object(owner, name, watched(getattr(owner, name), part)))
        start = now()
        run.train_step(watched(scenes.__getitem__, "scenes")(step))
        seconds["rest"] = now() - start - sum(seconds.values())
    return list(seconds.values())


if __name__ == "__main__":
    sys.exit(main())
