"""What all commands share: errors and exit codes."""

import os
import re
import subprocess
import sys
import warnings

import cv2
import numpy as np
import pytest

from centerdet.cli.errors import fail_cleanly
from centerdet.cli.main import main
from tests.helpers import ROOT


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "nowhere/*.png"], "no file, folder or match"),
        (["predict", "x", "--batch-size", "0"], "--batch-size must be at least 1"),
        (["predict", ".", "--format", "yolo"], "name a folder with --out"),
        (["check", "nowhere.yaml"], "nowhere.yaml"),
        (["train", "nowhere.yaml"], "nowhere.yaml"),
        (["evaluate", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_code_2(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("one.png", np.zeros((64, 64), np.uint8))
    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


def test_a_closed_stdout_is_no_error(dataset, tmp_path):
    page = tmp_path / "report.html"
    command = [sys.executable, "-m", "centerdet", "evaluate", str(dataset), "--split", "train", "--noise-level", "0.8"]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*command, "--html-report", str(page)], stdout=write, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")
    assert page.exists()


@pytest.mark.parametrize(
    ("error", "code", "output"),
    [
        (None, 0, ""),
        (ValueError("two\n  lines"), 2, "error: two lines\n"),
        (
            MemoryError("x"),
            2,
            "error: too little memory (x); use smaller images, batches, networks or option values\n",
        ),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (KeyboardInterrupt("at step 3"), 130, "interrupted: at step 3\n"),
    ],
)
def test_exit_codes(error, code, output, capsys):
    @fail_cleanly
    def command():
        if error is not None:
            raise error

    assert command() == code
    assert capsys.readouterr().err == output


def test_programming_errors_keep_their_traceback():
    @fail_cleanly
    def command():
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        command()


def test_a_warning_is_one_line_on_stderr(capsys):
    @fail_cleanly
    def command():
        warnings.warn("two\n  lines", stacklevel=1)

    before = warnings.showwarning
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert command() == 0
    assert capsys.readouterr().err == "warning: two lines\n"
    assert warnings.showwarning is before


@pytest.mark.parametrize("text", ["CUDA out of memory. Tried", "DefaultCPUAllocator: can't allocate memory: you tried"])
def test_too_little_memory_is_one_line_and_other_errors_of_torch_are_not_hidden(text, capsys):
    @fail_cleanly
    def main(message):
        raise RuntimeError(message)

    assert main(text) == 2
    assert re.fullmatch(
        "error: too little memory .*; use smaller images, batches, networks or option values\n",
        capsys.readouterr().err,
    )
    with pytest.raises(RuntimeError, match="shapes"):
        main("shapes do not fit")


@pytest.mark.parametrize("text", ["Unable to allocate 1.4 GiB for an array", ""])
def test_too_little_memory_of_numpy_and_python_has_the_same_remedy(text, capsys):
    @fail_cleanly
    def main():
        raise MemoryError(text)

    assert main() == 2
    reason = f" ({text})" if text else ""
    remedy = "use smaller images, batches, networks or option values"
    assert capsys.readouterr().err == f"error: too little memory{reason}; {remedy}\n"


def test_a_removed_working_folder_is_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert fail_cleanly(os.getcwd)() == 2
    assert capsys.readouterr().err == "error: the working folder has been removed; change to another one (cd)\n"
