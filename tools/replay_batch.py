"""Repeats a training step whose loss was not finite, and shows the first tensor that is not finite.

Give the file that the error named, ``nonfinite-0.pt`` in the run's folder. The library's call for the same is
``centerdet.training.replay.replay``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a checkout works without being installed

from centerdet.cli.errors import Parser, fail_cleanly
from centerdet.cli.options import add_device_option, select_device
from centerdet.cli.streams import print_result
from centerdet.training.replay import replay


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="the batch that the stopped run kept")
    add_device_option(parser)
    return parser.parse_args(arguments)


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Replays the step and prints the result."""
    options = parse_arguments(arguments)
    print_result(replay(options.file, device=select_device(options.device)))


if __name__ == "__main__":
    sys.exit(main())
