"""The command ``centerdet train``."""

from __future__ import annotations

import argparse
from pathlib import Path

from centerdet.cli.options import (
    add_command,
    add_data_argument,
    add_device_option,
    add_limit_options,
    add_set_option,
    add_threads_option,
    limit_overrides,
    select_device,
    set_threads,
)
from centerdet.cli.streams import one_line, print_progress


def add_train(commands: argparse._SubParsersAction) -> None:
    """Adds the parser of ``centerdet train``."""
    parser = add_command(
        commands,
        "train",
        "train a detector on a data set",
        "Trains on the split 'train'. The split 'validation' chooses the best weights, calibrates their scores and\n"
        "sets their threshold. The result is best.safetensors in the run's folder.",
    )
    add_data_argument(parser)
    parser.add_argument("--config", type=Path, help="training settings (default: chosen for the data set)")
    add_set_option(parser)
    add_limit_options(parser)
    parser.add_argument(
        "--init",
        metavar="WEIGHTS",
        default="auto",
        help="weights to start from: generic, accurate, fast, a weights file, or none (default: generic; none with "
        "--config, with --set network.KEY, and if the images share a uniform background)",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/images"), help="folder of the run; default: %(default)s")
    parser.add_argument("--resume", action="store_true", help="continue the run in that folder")
    add_device_option(parser)
    add_threads_option(parser)
    parser.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> None:
    from centerdet.training.dataset_run import prepare_dataset_run, train_dataset

    set_threads(options.threads)
    run = prepare_dataset_run(
        options.data,
        config_path=options.config,
        overrides=limit_overrides(options),
        init=options.init,
    )
    print_progress(*map(one_line, run.choices))
    report = train_dataset(
        run,
        directory=options.out,
        device=select_device(options.device),
        resume=options.resume,
    )
    print(f"{one_line(options.out / 'best.safetensors')}, on the validation images that chose it:\n{report}")
