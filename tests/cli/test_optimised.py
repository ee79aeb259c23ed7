"""Every command works without docstrings and assertions: ``python -OO``."""

import subprocess
import sys

import numpy as np
import pytest

from tests.fuzz.conftest import CONFIG, SCENES
from tests.helpers import ROOT, make_detector, write_dataset

COMMANDS = [
    "-m centerdet train data.yaml --config config.yaml --out run",
    "{root}/train.py --config scenes.yaml --out scenes",
    "-m centerdet export model.onnx --weights weights.safetensors",
    "-m centerdet predict image.npy --weights weights.safetensors --save-images drawn --out found.csv",
    "-m centerdet predict image.npy --weights model.onnx --format cvat --out found.xml",
    "-m centerdet evaluate data.yaml --weights weights.safetensors --json scores.json --html-report page.html",
    "-m centerdet check data.yaml --out sheet.png",
    "{root}/main.py --num-samples 2 --json main.json --html-report main.html --error-analysis",
    "{root}/tools/visualize.py image.npy --weights weights.safetensors",
    "{root}/tools/visualize.py --num-samples 2 --worst 1 --out worst.png",
]
TOOLS = ("visualize", "benchmark", "profile_training", "symmetry", "robustness", "replay_batch")
COMMANDS += [f"{{root}}/{script} --help" for script in ("main.py", "train.py", *(f"tools/{name}.py" for name in TOOLS))]


def run(folder, command):
    arguments = command.format(root=ROOT).split()
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-OO", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_every_command_works_without_docstrings_and_assertions(tmp_path):
    make_detector().save(tmp_path / "weights.safetensors")
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "scenes.yaml").write_text(SCENES)
    np.save(tmp_path / "image.npy", np.random.default_rng(0).random((64, 80)))
    for split in ("train", "validation", "test"):
        write_dataset(tmp_path, "yolo", split=split, shape=(96 + len(split), 128))
    for command in COMMANDS:
        done = run(tmp_path, command)
        assert done.returncode == 0, (command, done.stderr)
        assert "Traceback" not in done.stderr
