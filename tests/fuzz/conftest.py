"""A server that runs commands under limits, and a small data set for them."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from tests.helpers import BOXES, ROOT, make_detector, write_dataset

MEMORY = 2**30  # bytes beyond those of the idle server
SECONDS = 30

COMMON = """
network: {channels: [8, 8], num_blocks: [1, 1]}
training: {steps: 1, warmup_steps: 0, validate_every: 1, log_every: 1, checkpoint_every: 1}
"""
CONFIG = f"{COMMON}batch_size: 1\ncrop_size: 64\n"
SCENES = f"{COMMON}curriculum: {{batch_size: 1}}\nvalidation: {{scenes: 2, calibration_scenes: 2}}\n"


@contextmanager
def start_server(*options):
    """Runs command_server.py, with options of Python's own."""
    command = [sys.executable, *options, str(ROOT / "tests" / "fuzz" / "command_server.py")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    )
    yield process
    process.stdin.close()
    process.stdout.close()
    process.wait()


@pytest.fixture(scope="session")
def server():
    """The process of command_server.py."""
    with start_server() as process:
        yield process


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """A folder with one good file of each kind: weights, config, data set, image."""
    folder = tmp_path_factory.mktemp("good")
    make_detector().save(folder / "weights.safetensors")
    (folder / "config.yaml").write_text(CONFIG)  # of centerdet train
    (folder / "scenes.yaml").write_text(SCENES)  # of train.py
    for shift, split in enumerate(("train", "validation", "test")):  # no image is in two splits
        write_dataset(folder, "yolo", [replace(box, x=box.x + shift) for box in BOXES if box], split=split)
    image = np.random.default_rng(0).integers(0, 256, (64, 80), dtype=np.uint8)
    for name in ("image.png", "image.jpg", "image.tif", "image.bmp"):
        cv2.imwrite(str(folder / name), image)
    np.save(folder / "image.npy", image)
    return folder


@pytest.fixture
def place(tmp_path, files):
    """A copy of the good files, which other users can read and change."""
    folder = tmp_path / "place"
    shutil.copytree(files, folder)
    for path in (*tmp_path.parents, tmp_path):
        if path.stat().st_uid == os.getuid() and path.is_relative_to(tmp_path_factory_root(tmp_path)):
            path.chmod(path.stat().st_mode | 0o755)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o777 if path.is_dir() else 0o666)
    return folder


def tmp_path_factory_root(path):
    """The folder of pytest's temporary folders, which only its owner can enter."""
    return next(parent for parent in (path, *path.parents) if parent.parent.name in ("", "tmp"))


@pytest.fixture
def run(server, place, tmp_path):
    """Runs a command in the folder ``place``; returns its exit code and the lines of its two outputs."""
    return make_run(server, place, tmp_path)


def make_run(server, folder, outputs_folder):
    """The function of the fixture ``run``, for a server and a folder."""

    def call(
        script, *arguments, stdout=None, stderr=None, file_size=None, unprivileged=False, memory=MEMORY, seconds=SECONDS
    ):
        outputs = {name: outputs_folder / name for name in ("stdout", "stderr")}
        for path in outputs.values():
            path.unlink(missing_ok=True)
        request = {
            "script": script,
            "arguments": [str(argument) for argument in arguments],
            "folder": str(folder),
            "stdout": stdout or str(outputs["stdout"]),
            "stderr": stderr or str(outputs["stderr"]),
            "memory": memory,
            "file_size": file_size,
            "unprivileged": unprivileged,
            "seconds": seconds,
        }
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        texts = {name: path.read_text(errors="replace") if path.exists() else "" for name, path in outputs.items()}
        return SimpleNamespace(code=code, out=texts["stdout"], err=texts["stderr"])

    return call


def snapshot(folder):
    """What every entry of a folder is and holds."""
    found = {}
    for base, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(base) / name
            if path.is_symlink():
                found[path] = str(path.readlink())
            elif path.is_file() and path.stat().st_size < 10**7:
                found[path] = hashlib.sha256(path.read_bytes()).hexdigest()
            else:
                found[path] = path.stat().st_mode
    return found
