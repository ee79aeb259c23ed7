"""What the command-line scripts share: options, errors as one line on stderr, the choice of a device, JSON files."""

from __future__ import annotations

import argparse
import ctypes
import functools
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from centerdet.files import check_folder, write_atomically

if TYPE_CHECKING:
    import torch

WEIGHTS_HELP = "a file, or shipped ones by name: shipped (default), fast"


def fail_cleanly(main: Callable[..., None]) -> Callable[..., int]:
    """Turns a script's ``main`` into one that returns an exit code, and keeps the memory that it frees.

    0: done; 2: wrong input (``ValueError``, ``OSError``), a package that is missing, too little memory or a loss that
    is not finite, told in one line on stderr; 130: stopped by Ctrl-C; 141: whoever reads stdout has gone, as ``head``.
    """

    @functools.wraps(main)
    def wrapped(*arguments: object) -> int:
        keep_freed_memory()
        try:
            main(*arguments)
            sys.stdout.flush()  # a reader that has gone is noticed here, not at the interpreter's end
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still to be flushed
            return 141
        except (ValueError, OSError, ImportError, FloatingPointError, MemoryError) as error:
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
            return 2
        except KeyboardInterrupt as stop:
            print(f"interrupted{f': {stop}' if str(stop) else ''}", file=sys.stderr)
            return 130
        return 0

    return wrapped


def keep_freed_memory() -> None:
    """Has malloc keep what is freed, up to 1 GiB, for the next image, where it is the GNU C library's.

    Otherwise it returns each map of the network to the system and asks for it again: a fifth of a CPU's time.
    """
    trim_threshold, mmap_threshold = -1, -3  # mallopt(3)
    with suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(mmap_threshold, 32 * 2**20)  # the largest that it allows
        mallopt(trim_threshold, 2**30)


def select_device(name: str | None) -> torch.device:
    """The named torch device; without a name, the GPU if there is one.

    Raises:
        ValueError: If there is no such device.
    """
    import torch  # here, since a command's --help should not wait for it

    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros((), device=name).item()
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"cannot use device {name!r}: {str(error).splitlines()[0]}") from None
    return torch.device(name)


def set_threads(count: int | None) -> None:
    """Sets torch's CPU threads, if a number is given.

    Raises:
        ValueError: If it is below 1.
    """
    import torch

    if count is not None:
        if count < 1:
            raise ValueError(f"--threads must be at least 1, got {count}")
        torch.set_num_threads(count)


def parse_measurement(
    parser: argparse.ArgumentParser, arguments: list[str] | None, *, samples: int, seed: int
) -> argparse.Namespace:
    """Adds the options of a measurement on drawn samples to a parser, with these defaults, and reads the command line.

    Raises:
        ValueError: If there is nothing to measure, or no folder for the result: found out before the work, not after.
    """
    parser.add_argument("--samples", type=int, default=samples, help="how many; default: %(default)s")
    parser.add_argument("--seed", type=int, default=seed, help="of the samples; default: %(default)s")
    parser.add_argument("--weights", help=WEIGHTS_HELP)
    parser.add_argument("--device", help="a torch device (default: a GPU if there is one)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there, too")
    options = parser.parse_args(arguments)
    if options.json:
        check_folder(options.json)
    if options.samples < 1:
        raise ValueError(f"--samples must be at least 1, got {options.samples}")
    return options


def write_json(path: Path, metadata: Any) -> None:
    """Writes a JSON file for people and programs to read."""
    write_atomically(path, (json.dumps(metadata, indent=2) + "\n").encode())


def add_command(commands: argparse._SubParsersAction, name: str, summary: str, details: str) -> argparse.ArgumentParser:
    """Adds a subcommand's parser: a summary in one line for the list of commands, details for its own ``--help``."""
    return commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.\n\n{details}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
