"""Starts Ray for ``centerdet predict --engine ray``, and ends it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from centerdet.cli.streams import one_line
from centerdet.native_messages import hide_native_messages


@contextmanager
def ray_started() -> Iterator[None]:
    """Connects to the cluster of ``RAY_ADDRESS``, or starts Ray on this machine, unless this process has done so.

    Raises:
        OSError: If Ray does not start, or the cluster does not answer.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to Ray's makers
    import ray

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what it logs, it also raises
    ours = not ray.is_initialized()
    with hide_native_messages():  # errors of actors are exceptions
        if ours:
            _start_ray()
        try:
            yield
        finally:
            if ours:
                ray.shutdown()


def _start_ray() -> None:
    import ray

    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    except Exception as error:  # a bare ``Exception`` if its processes take longer than its own 30 s
        ray.shutdown()  # ends the processes that did start
        raise OSError(
            f"Ray did not start: {one_line(error).rstrip('.')}; the machine may be too busy, or RAY_ADDRESS may name no"
            " running cluster"
        ) from None
