"""A full disk, a removed or read-only folder stops the run with its cause, and the last checkpoint continues it."""

import errno
import os
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from centerdet.files import check_folder
from centerdet.training.interrupts import explain_write_errors
from tests.helpers import SmallBatches, assert_same_run, state_of, train_tiny


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of an uninterrupted run."""
    directory = tmp_path_factory.mktemp("whole")
    train_tiny(directory)
    return directory


def refuse_from(step, monkeypatch, name="checkpoint.pt"):
    """Makes the disk full for one file once the checkpoint is of this step or later."""
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
def test_a_full_disk_stops_the_run_and_the_last_checkpoint_continues_it(name, whole, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        refuse_from(2, patch, name)
        message = rf"after step \d: cannot write .*{name}: No space left on device; the last checkpoint .* is intact"
        if name == "best.safetensors":  # the best validation of this run is the first one, after step 3
            message = message.replace(r"\d", "3")
        with pytest.raises(OSError, match=message):
            train_tiny(tmp_path / "full")
    assert step_of(tmp_path / "full") == 2
    assert not list((tmp_path / "full").glob(".*"))
    train_tiny(tmp_path / "full", resume=True)
    assert_same_run(tmp_path / "full", whole)


def test_a_full_disk_for_the_log_stops_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "centerdet.training.logger.MetricLogger._append",
        lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "disk full")),
    )
    with pytest.raises(OSError, match="after step 1: .*disk full; .* has no checkpoint yet: start again in another"):
        train_tiny(tmp_path)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # TensorBoard's own thread
def test_a_removed_folder_stops_the_run(tmp_path):
    def vanish(step):
        if step == 3:
            (tmp_path / "run").rename(tmp_path / "moved")

    with pytest.raises(OSError, match="after step 4: .*No such file or directory.*continue with resume"):
        train_tiny(tmp_path / "run", source=SmallBatches(vanish))
    assert step_of(tmp_path / "moved") == 2
    train_tiny(tmp_path / "moved", resume=True)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "run").write_text("")
    for directory in (tmp_path / "run", tmp_path / "run" / "inside"):
        with pytest.raises(ValueError, match=f"cannot make the folder {directory}: .*choose another"):
            train_tiny(directory)


@contextmanager
def ordinary_user():
    """Drops the superuser's rights, with which any folder can be written."""
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
    """A folder that any user can enter; other users cannot enter pytest's folders."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "free").mkdir()
        (folder / "free").chmod(0o777)
        monkeypatch.chdir(folder)
        with ordinary_user():
            check_folder("free/checkpoint.pt")
        yield folder
        monkeypatch.undo()  # before the folder is removed


def test_a_read_only_folder_is_refused(whole, open_to_all):  # after a complete run, all modules are imported
    (open_to_all / "run").mkdir(mode=0o555)
    with (
        ordinary_user(),
        pytest.raises(ValueError, match="there is no writable folder .*run; make it, or choose another"),
    ):
        train_tiny(Path("run"))
    assert not list((open_to_all / "run").iterdir())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # TensorBoard's own thread
def test_a_folder_that_becomes_read_only_stops_the_run_and_the_last_checkpoint_continues_it(whole, open_to_all):
    directory = open_to_all / "run"
    with ExitStack() as stack:

        def lock(step):
            if step == 3:
                directory.chmod(0o555)
                (directory / "metrics.jsonl").chmod(0o666)  # the files in the folder can still be written
                stack.enter_context(ordinary_user())

        with pytest.raises(
            OSError, match="after step 4: cannot write .*Permission denied; the last checkpoint .* intact"
        ):
            train_tiny(Path("run"), source=SmallBatches(lock))
    directory.chmod(0o755)
    assert step_of(directory) == 2
    train_tiny(directory, resume=True)
    assert_same_run(directory, whole)


@pytest.mark.parametrize("is_second", [True, False])
def test_only_a_second_stage_continues_from_the_checkpoint_of_another_folder(is_second, tmp_path):
    folder = tmp_path / "run" / "second_stage"
    folder.mkdir(parents=True)
    (tmp_path / "run" / "checkpoint.pt").touch()
    remedy = "the last checkpoint in .*run is intact: .* continue with resume" if is_second else "start again in"
    with (
        pytest.raises(OSError, match=f"disk full; .*{remedy}"),
        explain_write_errors("after block 1", folder, folder.parent if is_second else None),
    ):
        raise OSError(errno.ENOSPC, "disk full")
