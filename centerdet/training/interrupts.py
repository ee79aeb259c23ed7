"""What stops a training from outside: Ctrl-C, SIGTERM, and files that cannot be written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from centerdet.training.checkpoint import CHECKPOINT_NAME


@contextmanager
def catch_interrupts() -> Iterator[Callable[[], bool]]:
    """Catches Ctrl-C and SIGTERM, so that a run stops where it can continue exactly.

    Yields:
        A function that returns whether there was a signal. Outside the main thread, which alone receives signals, it
        is always false.
    """
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda n, _: caught.append(n)) for number in signals}
    try:
        yield lambda: bool(caught)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def explain_write_errors(moment: str, directory: Path, first_stage: Path | None = None) -> Iterator[None]:
    """Adds to an error of writing when it happened, and how the run continues, or starts again.

    Args:
        moment: Such as ``after step 7``.
        directory: The folder that is written to.
        first_stage: For a second stage, the folder of the run that it is a part of: that continues, too.

    Raises:
        OSError: In place of another one.
    """
    try:
        yield
    except OSError as error:
        folders = [folder for folder in (directory, first_stage) if folder and (folder / CHECKPOINT_NAME).exists()]
        if directory.is_dir() and not folders:
            remedy = f"{directory} has no checkpoint yet: start again in another folder (--out), with space on its disk"
        else:
            remedy = (
                f"the last checkpoint in {(folders or [directory])[0]} is intact: make the folder writable, with space "
                "on its disk, and continue with resume (--resume)"
            )
        raise OSError(f"{moment}: {error}; {remedy}") from error
