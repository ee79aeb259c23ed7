"""Does a training step again whose loss was not finite, and shows where it stopped being so.

Give the file that the error named: ``nonfinite-0.pt`` in the run's folder. ``centerdet.replay.replay`` returns the same
as tensors.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a checkout works without being installed

from centerdet.cli.common import fail_cleanly, select_device
from centerdet.training.replay import replay


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="what the stopped run kept")
    parser.add_argument("--device", help="a torch device (default: a GPU if there is one)")
    return parser.parse_args(arguments)


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Replays and prints as the command line says."""
    options = parse_arguments(arguments)
    print(replay(options.file, device=select_device(options.device)))


if __name__ == "__main__":
    sys.exit(main())
