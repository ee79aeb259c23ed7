"""Trains the generic weights: ``python tools/train_generic.py --out runs/generic`` reproduces the pretrained ones."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a checkout works without being installed

from centerdet.cli.errors import Parser, fail_cleanly
from centerdet.cli.options import add_set_option, add_threads_option, set_threads
from centerdet.training.config import read_images_config
from centerdet.training.generic_run import train_generic

CONFIG = ROOT / "configs" / "generic.yaml"


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = Parser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--config", type=Path, default=CONFIG, help="default: configs/generic.yaml")
    add_set_option(parser)
    parser.add_argument("--out", type=Path, default=Path("runs/generic"), help="folder of the run")
    parser.add_argument("--resume", action="store_true", help="continue the run in that folder")
    add_threads_option(parser)
    return parser.parse_args(arguments)


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Trains, and prints the report."""
    options = parse_arguments(arguments)
    set_threads(options.threads)
    print(train_generic(read_images_config(options.config, options.set), directory=options.out, resume=options.resume))


if __name__ == "__main__":
    sys.exit(main())
