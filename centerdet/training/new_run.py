"""Check of the folder of a new run."""

from __future__ import annotations

import os
from pathlib import Path

from centerdet.training.checkpoint import CHECKPOINT_NAME

_RESULTS = ("best.safetensors", "last.safetensors", "metrics.jsonl", "second_stage")  # what a new run would replace


def check_no_run(directory: Path) -> None:
    """Checks that a new run replaces no result of an earlier one.

    Raises:
        ValueError: If the folder holds a run, or a part of one.
    """
    if os.path.lexists(directory / CHECKPOINT_NAME):
        raise ValueError(
            f"{directory} already holds a run; continue it with resume (--resume), or choose another folder (--out)"
        )
    for path in (directory / name for name in _RESULTS):
        if path.is_symlink() or (path.exists() and path.stat().st_size):
            raise ValueError(
                f"{directory} already holds {path.name}, and no checkpoint to continue from; move it away, or choose "
                "another folder (--out)"
            )
