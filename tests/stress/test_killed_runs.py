"""Runs that are killed at any moment continue to the same weights, to the bit."""

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


def run_to_the_end(forkserver, directory):
    process = forkserver.Process(target=train_in_process, args=(directory,))
    start = time.perf_counter()
    process.start()
    process.join()
    assert process.exitcode == 0
    return time.perf_counter() - start


@pytest.fixture(scope="module")
def whole(forkserver, tmp_path_factory):
    """The folder of a run that nobody killed, and how long it took, s."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, run_to_the_end(forkserver, folder)


@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_a_killed_run_ends_with_the_same_weights_to_the_bit(kills, forkserver, whole, tmp_path):
    expected, seconds = whole
    draw, directory, killed, half_written = random.Random(kills), tmp_path / "killed", 0, 0
    while killed < kills:
        process = forkserver.Process(target=train_in_process, args=(directory,))
        process.start()
        wait_for(process, moment=None if killed % 2 else draw.uniform(0.1, 0.6) * seconds, directory=directory)
        process.kill()
        process.join()
        if process.exitcode == 0:  # killed too late
            assert_same_run(directory, expected)
            shutil.rmtree(directory)
            continue
        assert process.exitcode == -signal.SIGKILL
        killed += 1
        half_written += any(directory.glob(".checkpoint.pt.*.tmp"))
    assert half_written > 0
    run_to_the_end(forkserver, directory)
    assert_same_run(directory, expected)
    assert not list(directory.glob(".*"))  # no temporary file is left


def test_the_same_seed_gives_the_same_weights_to_the_bit(forkserver, whole, tmp_path):
    run_to_the_end(forkserver, tmp_path)
    assert_same_run(tmp_path, whole[0])
