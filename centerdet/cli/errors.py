"""How commands and scripts fail: one line on stderr and an exit code."""

from __future__ import annotations

import argparse
import functools
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from centerdet.cli.memory import keep_freed_memory, lacks_memory
from centerdet.cli.streams import discard_stdout, flush_stdout, one_line, safe_streams

EXIT_ERROR, EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 2, 130, 141  # the last two: 128 + SIGINT, 128 + SIGPIPE, as in a shell


class Parser(argparse.ArgumentParser):
    """Parser of a command line whose errors are one line, safe for a terminal."""

    def error(self, message: str) -> NoReturn:
        """Prints the error and ends the command with exit code 2."""
        self.exit(EXIT_ERROR, f"error: {one_line(message)}; {self.prog} --help lists the options\n")


def fail_cleanly(main: Callable[..., None]) -> Callable[..., int]:
    """Decorates a script's ``main``: it returns an exit code, prints errors as one line, and reuses freed memory.

    Exit codes: 0 for success; 2 for an error (wrong input, a missing package, too little memory, a loss that is not
    finite), printed to stderr; 130 after Ctrl-C; 141 if the reader of stdout has closed it, as ``head`` does.
    """

    @functools.wraps(main)
    def wrapped(*arguments: object) -> int:
        keep_freed_memory()
        with safe_streams(), warnings.catch_warnings():
            warnings.showwarning = _show_warning
            return _run(main, *arguments)

    return wrapped


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Prints a warning as one line, without the place in the code that it comes from."""
    print(f"warning: {one_line(message)}", file=sys.stderr)


def _run(main: Callable[..., None], *arguments: object) -> int:
    try:
        main(*arguments)
        flush_stdout()  # raises BrokenPipeError here, not while the interpreter shuts down
    except BrokenPipeError:
        discard_stdout()
        return EXIT_BROKEN_PIPE
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        with suppress(OSError):
            flush_stdout()  # the lines before the error
        is_gone = isinstance(error, FileNotFoundError) and error.errno and error.filename is None  # os.getcwd()
        message = "the working folder has been removed; change to another one (cd)" if is_gone else one_line(error)
        print(f"error: {message}", file=sys.stderr)
        return EXIT_ERROR
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not lacks_memory(error):
            raise
        with suppress(OSError):
            flush_stdout()
        reason = f" ({str(error)[:150]})" if str(error) else ""
        message = f"too little memory{reason}; use smaller images, batches, networks or option values"
        print(f"error: {one_line(message)}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt as stop:
        print(f"interrupted{f': {one_line(stop)}' if str(stop) else ''}", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0
