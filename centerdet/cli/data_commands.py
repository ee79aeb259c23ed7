"""The commands ``check`` and ``train``: a function that adds each one's parser, and one that runs it.

What they need is imported where they run: ``--help`` should not wait for it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import centerdet
import centerdet.data
from centerdet.cli.common import add_command, select_device, set_threads
from centerdet.files import check_folder, write_atomically


def add_data(parser: argparse.ArgumentParser) -> None:
    """Adds the argument that names a data set, and says what that is."""
    parser.add_argument("data", type=Path, help="the data set's YAML file, see below")
    _, _, parser.epilog = centerdet.data.__doc__.partition("\n\n")


def add_check(commands: argparse._SubParsersAction) -> None:
    """Adds ``centerdet check``."""
    parser = add_command(
        commands,
        "check",
        "find everything that is wrong with a data set",
        "Prints one line for each fault, and draws images with their labels onto one sheet.\n"
        "The exit code is 2 if there is any fault.",
    )
    add_data(parser)
    parser.add_argument("--out", type=Path, default=Path("check.png"), help="the sheet; default: %(default)s")
    parser.add_argument("--tiles", type=int, default=36, help="images on the sheet; default: %(default)s")
    parser.set_defaults(run=_check)


def _check(options: argparse.Namespace) -> None:
    from centerdet.data.validate import check_dataset

    if options.tiles < 1:
        raise ValueError(f"--tiles must be at least 1, got {options.tiles}")
    check_folder(options.out)
    errors, sheet = check_dataset(options.data, tiles=options.tiles, progress=True)
    if sheet is not None:
        import cv2

        write_atomically(options.out, cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())
    print("\n".join(errors) or "no fault found")
    if sheet is not None:
        print(f"labels drawn to {options.out}")
    if errors:
        raise ValueError(f"faults in {options.data}: {len(errors)}, listed above")


def add_train(commands: argparse._SubParsersAction) -> None:
    """Adds ``centerdet train``."""
    parser = add_command(
        commands,
        "train",
        "train a detector on a data set",
        "Learns from the data set's split 'train'; chooses the best weights, calibrates their scores and sets their\n"
        "threshold on its split 'validation'. The detector is best.safetensors in the run's folder.",
    )
    add_data(parser)
    parser.add_argument(
        "--config", type=Path, help="how to train; configs/images.yaml has all settings (default: the values there)"
    )
    parser.add_argument(
        "--init", metavar="WEIGHTS", help="start from these weights, 'shipped' or 'fast' ones too, not from scratch"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/images"), help="folder of the run; default: %(default)s")
    parser.add_argument("--resume", action="store_true", help="continue the run in that folder")
    parser.add_argument("--device", help="a torch device (default: a GPU if there is one)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
    parser.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> None:
    from centerdet.training.config import ImagesConfig, read_images_config
    from centerdet.training.own_images import train_dataset

    set_threads(options.threads)
    config = read_images_config(options.config) if options.config else ImagesConfig()
    start = None if options.init is None else centerdet.load(options.init)
    report = train_dataset(
        options.data,
        config,
        directory=options.out,
        start=start,
        device=select_device(options.device),
        resume=options.resume,
    )
    print(f"{options.out / 'best.safetensors'}, on the validation images that chose it:\n{report}")
