"""Runs that are killed at any moment continue to the same weights, to the bit."""

import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from dataclasses import replace

import pytest
import torch

from tests.helpers import CONFIG, assert_same_run, train_tiny

LONGER = replace(CONFIG, steps=8, checkpoint_every=2, validate_every=4)


def train_in_process(directory):
    """A training process with slow writes, so that kills also hit the writes."""
    torch.set_num_threads(1)
    flush = os.fsync
    os.fsync = lambda file: (time.sleep(0.03), flush(file))
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (it ends with the process)
    resume = (directory / "checkpoint.pt").exists()
    if not resume:
        shutil.rmtree(directory, ignore_errors=True)  # killed before the first checkpoint: a new run needs a new folder
    train_tiny(directory, config=LONGER, resume=resume)


def wait_for(process, *, moment, directory):
    """Waits for ``moment`` seconds, or for a checkpoint that is being written, or for the end of the process."""
    if moment is not None:
        process.join(moment)
        return
    while process.exitcode is None and not any(directory.glob(".checkpoint.pt.*.tmp")):
        time.sleep(0.001)


@pytest.fixture(scope="module")
def context():
    """Processes that start at once, from a server that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["centerdet.training.trainer", "torch.utils.tensorboard", "skimage.draw", "shapely"])
    first = context.Process(target=print)
    first.start()
    first.join()
    return context


def run_to_the_end(context, directory):
    process = context.Process(target=train_in_process, args=(directory,))
    start = time.perf_counter()
    process.start()
    process.join()
    assert process.exitcode == 0
    return time.perf_counter() - start


@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_a_killed_run_ends_with_the_same_weights_to_the_bit(kills, context, tmp_path):
    seconds = run_to_the_end(context, tmp_path / "whole")
    draw, directory, killed, half_written = random.Random(kills), tmp_path / "killed", 0, 0
    while killed < kills:
        process = context.Process(target=train_in_process, args=(directory,))
        process.start()
        wait_for(process, moment=None if killed % 2 else draw.uniform(0.1, 0.6) * seconds, directory=directory)
        process.kill()
        process.join()
        if process.exitcode == 0:  # killed too late
            assert_same_run(directory, tmp_path / "whole")
            shutil.rmtree(directory)
            continue
        assert process.exitcode == -signal.SIGKILL
        killed += 1
        half_written += any(directory.glob(".checkpoint.pt.*.tmp"))
    assert half_written > 0
    run_to_the_end(context, directory)
    assert_same_run(directory, tmp_path / "whole")
    assert not list(directory.glob(".*"))  # no temporary file is left


def test_the_same_seed_gives_the_same_weights_to_the_bit(context, tmp_path):
    for name in ("one", "other"):
        run_to_the_end(context, tmp_path / name)
    assert_same_run(tmp_path / "one", tmp_path / "other")
