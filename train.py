"""Trains the detector on the task's synthetic scenes: ``python train.py`` reproduces the pretrained weights.

``torchrun --nproc-per-node N train.py`` trains with N processes, which share each batch. The run's folder holds the
best and the last detector, a checkpoint, ``metrics.jsonl`` and TensorBoard curves.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

import centerdet
from centerdet.cli.errors import Parser, fail_cleanly
from centerdet.cli.options import (
    add_device_option,
    add_limit_options,
    add_set_option,
    add_threads_option,
    limit_overrides,
    select_device,
    set_threads,
)
from centerdet.cli.streams import one_line, print_progress
from centerdet.distributed import init_distributed, is_main_process, wait_for_main_process, world_size
from centerdet.training.config import Config, read_config
from centerdet.training.second_stage_fit import load_first_stages
from centerdet.training.synthetic_run import add_second_stage, calibrate_best, calibrate_refinement, train_synthetic

DEFAULT_CONFIG = Path(__file__).parent / "configs" / "default.yaml"


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = Parser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help="default: configs/default.yaml")
    add_set_option(parser)
    add_limit_options(parser)
    parser.add_argument("--out", type=Path, help="folder of the run (default: runs/NAME OF THE CONFIG)")
    parser.add_argument("--resume", action="store_true", help="continue the run in that folder")
    add_device_option(parser)
    add_threads_option(parser)
    return parser.parse_args(arguments)


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Trains, and calibrates the best weights."""
    options = parse_arguments(arguments)
    config = read_config(options.config, limit_overrides(options))
    directory = options.out or Path("runs") / options.config.stem
    device = select_device(options.device)
    set_threads(options.threads)
    other_first_stages = load_first_stages(config.second_stage, device)
    with init_distributed(device) as process_device:
        is_main = is_main_process()
        if is_main:
            parameters = sum(parameter.numel() for parameter in centerdet.CenterNet(config.network).parameters())
            where = f"run in {one_line(directory)}; device {process_device}, processes: {world_size()}"
            print_progress(f"{parameters:,} parameters; {where}")
        train_synthetic(config, directory=directory, device=process_device, resume=options.resume)
    if is_main:
        finish(directory, config, other_first_stages, process_device)
    wait_for_main_process()


def finish(
    directory: Path, config: Config, other_first_stages: Sequence[centerdet.Detector], device: torch.device
) -> None:
    """Calibrates the best weights, and trains the second stage, in the main process alone."""
    report = calibrate_best(directory, config, device=device)
    best = one_line(directory / "best.safetensors")
    print_progress(f"{best}, calibrated on {report.samples} further validation scenes:\n{report}")
    both = add_second_stage(directory, config, other_first_stages=other_first_stages, device=device)
    if both is not None:
        print_progress(f"with the second stage:\n{both}")
    if (refined := calibrate_refinement(directory, config, device=device)) is not None:
        print_progress(f"with refinement:\n{refined}")


if __name__ == "__main__":
    sys.exit(main())
