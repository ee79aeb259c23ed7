"""What the command-line scripts share: one line on stderr instead of a traceback, and the choice of a device."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def fail_cleanly(main: Callable[..., None]) -> Callable[..., int]:
    """Turns a script's ``main`` into one that returns an exit code.

    0: done; 2: wrong input (``ValueError``, ``OSError``), a package that is missing or a loss that is not finite, told
    in one line on stderr; 130: stopped by Ctrl-C.
    """

    @functools.wraps(main)
    def wrapped(*arguments: object) -> int:
        try:
            main(*arguments)
        except (ValueError, OSError, ImportError, FloatingPointError) as error:
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
            return 2
        except KeyboardInterrupt as stop:
            print(f"interrupted{f': {stop}' if str(stop) else ''}", file=sys.stderr)
            return 130
        return 0

    return wrapped


def pick_device(name: str | None) -> torch.device:
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
