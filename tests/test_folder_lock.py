"""Locks on folders, between processes and within one."""

import subprocess
import sys

import pytest

from centerdet.folder_lock import lock_folder
from tests.helpers import ROOT

HOLD = """
import sys, time
from pathlib import Path
from centerdet.folder_lock import lock_folder
with lock_folder(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout.readline() == "locked\n"
    with pytest.raises(ValueError, match="another training writes to .* now; wait for its end"), lock_folder(tmp_path):
        pass
    process.kill()
    process.wait()
    process.stdout.close()
    with lock_folder(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_second_training_in_one_process_is_refused_and_other_folders_are_free(tmp_path):
    (tmp_path / "other").mkdir()
    with lock_folder(tmp_path):
        with lock_folder(tmp_path / "other"):
            pass
        with pytest.raises(ValueError, match="another training"), lock_folder(tmp_path):
            pass
    with lock_folder(tmp_path):
        pass
