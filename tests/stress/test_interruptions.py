"""Whatever stops a run, nothing is lost: kills, full disks, folders that vanish, losses that are not finite."""

import errno
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch

from centerdet import CenterLoss
from centerdet.files import check_folder
from centerdet.training.replay import replay
from tests.helpers import CONFIG, ROOT, SmallBatches, assert_same_run, state_of, train_tiny
from tools import replay_batch

LONGER = replace(CONFIG, steps=8, checkpoint_every=2, validate_every=4)


def work(directory):
    """A training process. Its writing takes long, so that it is killed there as well."""
    torch.set_num_threads(1)
    flush = os.fsync
    os.fsync = lambda file: (time.sleep(0.03), flush(file))
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (it ends with the process)
    train_tiny(directory, config=LONGER, resume=(directory / "checkpoint.pt").exists())


def wait_for(process, *, moment, directory):
    """Waits for a random moment, or for one while a checkpoint is being written, or for the process's end."""
    if moment is not None:
        process.join(moment)
        return
    while process.exitcode is None and not any(directory.glob(".checkpoint.pt.*.tmp")):
        time.sleep(0.001)


@pytest.fixture(scope="module")
def context():
    """Processes that start at once, from one that has already imported all."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["centerdet.training", "torch.utils.tensorboard", "skimage.draw", "shapely"])
    first = context.Process(target=print)
    first.start()
    first.join()
    return context


def run_to_its_end(context, directory):
    process = context.Process(target=work, args=(directory,))
    start = time.perf_counter()
    process.start()
    process.join()
    assert process.exitcode == 0
    return time.perf_counter() - start


@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_a_killed_run_ends_with_the_same_weights_to_the_bit(kills, context, tmp_path):
    seconds = run_to_its_end(context, tmp_path / "whole")
    draw, directory, killed, half_written = rng.Random(kills), tmp_path / "killed", 0, 0
    while killed < kills:
        process = context.Process(target=work, args=(directory,))
        process.start()
        wait_for(process, moment=None if killed % 2 else draw.uniform(0.1, 0.6) * seconds, directory=directory)
        process.kill()
        process.join()
        if process.exitcode == 0:  # too late
            assert_same_run(directory, tmp_path / "whole")
            shutil.rmtree(directory)
            continue
        assert process.exitcode == -signal.SIGKILL
        killed += 1
        half_written += any(directory.glob(".checkpoint.pt.*.tmp"))
    assert half_written > 0
    run_to_its_end(context, directory)
    assert_same_run(directory, tmp_path / "whole")
    assert not list(directory.glob(".*"))  # nothing half-written is left


def test_the_same_seed_gives_the_same_weights_to_the_bit(context, tmp_path):
    for name in ("one", "other"):
        run_to_its_end(context, tmp_path / name)
    assert_same_run(tmp_path / "one", tmp_path / "other")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nothing stopped."""
    directory = tmp_path_factory.mktemp("whole")
    train_tiny(directory)
    return directory


def refuse_from(step, monkeypatch, name="checkpoint.pt"):
    """From a step's checkpoint on, the disk is full for one file."""
    flush = os.fsync

    def fsync(file):
        path = Path(f"/proc/self/fd/{file}").readlink()
        if f".{name}." in path.name and (path.parent / "checkpoint.pt").exists() and step_of(path.parent) >= step:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(file)

    monkeypatch.setattr(os, "fsync", fsync)


def step_of(directory):
    return state_of(directory)["step"]


@pytest.mark.parametrize("name", ["checkpoint.pt", "last.safetensors", "best.safetensors"])
def test_a_full_disk_is_told_and_the_last_checkpoint_goes_on(name, whole, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        refuse_from(2, patch, name)
        message = rf"after step \d: cannot write .*{name}: No space left on device; the last checkpoint .* is intact"
        if name == "best.safetensors":  # of this run, the first validation is the best: it comes after step 2
            message = message.replace(r"\d", "3")
        with pytest.raises(OSError, match=message):
            train_tiny(tmp_path / "full")
    assert step_of(tmp_path / "full") == 2
    assert not list((tmp_path / "full").glob(".*"))
    train_tiny(tmp_path / "full", resume=True)
    assert_same_run(tmp_path / "full", whole)


def test_a_full_disk_for_the_journal_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "centerdet.journal.Journal._append", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "disk full"))
    )
    with pytest.raises(OSError, match="after step 1: .*disk full; .*go on with resume"):
        train_tiny(tmp_path)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # TensorBoard's own thread
def test_a_vanished_folder_is_told(tmp_path):
    def vanish(step):
        if step == 3:
            (tmp_path / "run").rename(tmp_path / "moved")

    with pytest.raises(OSError, match="after step 4: .*No such file or directory.*go on with resume"):
        train_tiny(tmp_path / "run", source=SmallBatches(vanish))
    assert step_of(tmp_path / "moved") == 2
    train_tiny(tmp_path / "moved", resume=True)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "run").write_text("")
    for directory in (tmp_path / "run", tmp_path / "run" / "inside"):
        with pytest.raises(ValueError, match=f"cannot make the run's folder {directory}: .*name another"):
            train_tiny(directory)


@contextmanager
def ordinary_user():
    """The superuser may write anywhere: for a while, we are nobody in particular."""
    if os.getuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.fixture
def open_to_all(monkeypatch):
    """A folder that any user may go into, as those above pytest's own are not, and work in."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "free").mkdir()
        (folder / "free").chmod(0o777)
        monkeypatch.chdir(folder)
        with ordinary_user():
            check_folder("free/checkpoint.pt")
        yield folder
        monkeypatch.undo()  # before the folder goes


def test_a_read_only_folder_is_refused(whole, open_to_all):  # what a whole run imports is imported
    (open_to_all / "run").mkdir(mode=0o555)
    with (
        ordinary_user(),
        pytest.raises(ValueError, match="there is no writable folder .*run; make it, or name another"),
    ):
        train_tiny(Path("run"))
    assert not list((open_to_all / "run").iterdir())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # TensorBoard's own thread
def test_a_folder_that_becomes_read_only_is_told_and_the_last_checkpoint_goes_on(whole, open_to_all):
    directory = open_to_all / "run"
    with ExitStack() as stack:

        def lock(step):
            if step == 3:
                directory.chmod(0o555)
                (directory / "metrics.jsonl").chmod(0o666)  # an open folder's files can still be written
                stack.enter_context(ordinary_user())

        with pytest.raises(
            OSError, match="after step 4: cannot write .*Permission denied; the last checkpoint .* intact"
        ):
            train_tiny(Path("run"), source=SmallBatches(lock))
    directory.chmod(0o755)
    assert step_of(directory) == 2
    train_tiny(directory, resume=True)
    assert_same_run(directory, whole)


class Broken(SmallBatches):
    """One image of one batch is not a number."""

    def __getitem__(self, step):
        batch = super().__getitem__(step)
        if step == 3:
            batch.images[2] = np.nan
        return batch


def test_a_loss_that_is_not_finite_keeps_its_batch_for_a_replay(tmp_path):
    with pytest.raises(FloatingPointError, match=r"replay_batch\.py .*nonfinite-0\.pt' shows where"):
        train_tiny(tmp_path, source=Broken())
    assert step_of(tmp_path) == 2
    again = replay(tmp_path / "nonfinite-0.pt")
    assert again.step == 3
    assert torch.isnan(again.terms.total)
    for kept, given in zip(again.batch, Broken()[3], strict=True):
        assert torch.equal(kept.nan_to_num(-1), given.nan_to_num(-1))
    tool = [sys.executable, ROOT / "tools" / "replay_batch.py", tmp_path / "nonfinite-0.pt", "--device", "cpu"]
    printed = subprocess.run(tool, capture_output=True, text=True, check=True).stdout
    assert "step 3, 4 images of (64, 64) px" in printed
    assert "images: " in printed
    assert ", not finite in image 2\n" in printed
    assert "loss, total: nan" in printed
    train_tiny(tmp_path, resume=True)  # with another source, the run can go on


class Overflowing(CenterLoss):
    """Finite terms; from the fourth step on, an infinite weight of one of them."""

    calls = 0

    def forward(self, prediction, target):
        terms = super().forward(prediction, target)
        self.calls += 1
        return terms._replace(total=terms.total + torch.inf) if self.calls == 4 else terms


def test_a_replay_computes_what_the_step_computed(tmp_path, monkeypatch):
    criterion, computed = Overflowing(), []
    criterion.register_forward_hook(lambda module, inputs, output: computed.append(output))
    monkeypatch.setattr("test_training.CenterLoss", lambda: criterion)
    with pytest.raises(FloatingPointError, match="the loss of step 3 is inf"):
        train_tiny(tmp_path)
    again = replay(tmp_path / "nonfinite-0.pt")
    assert again.terms[1:] == computed[-1][1:]  # to the bit; the total was made infinite above
    assert torch.isfinite(again.terms.total)
    assert "weights: finite" in str(again)


@pytest.mark.parametrize("content", [b"", b"text", None])
def test_other_files_cannot_be_replayed(content, tmp_path, capsys):
    path = tmp_path / "nonfinite-0.pt"
    if content is None:
        torch.save({"format": "centerdet kept batch 1", "step": 3}, path)
    else:
        path.write_bytes(content)
    assert replay_batch.main([str(path), "--device", "cpu"]) == 2
    assert str(path) in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"missing\.pt is missing"):
        replay(tmp_path / "missing.pt")
