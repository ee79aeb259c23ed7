"""Every command works without docstrings and assertions: ``python -OO``."""

import shutil

import pytest

from tests.fuzz.command_server import SCRIPTS, TOOLS
from tests.fuzz.conftest import make_run, start_server

COMMANDS = [
    "centerdet train data.yaml --config config.yaml --out run",
    "train.py --config scenes.yaml --out scenes",
    "centerdet export model.onnx --weights weights.safetensors",
    "centerdet predict image.npy --weights weights.safetensors --save-images drawn --out found.csv",
    "centerdet predict image.npy --weights model.onnx --format cvat --out found.xml",
    "centerdet evaluate data.yaml --weights weights.safetensors --json scores.json --html-report page.html",
    "centerdet check data.yaml --out sheet.png",
    "main.py --num-samples 2 --json main.json --html-report main.html --error-analysis",
    "visualize.py image.npy --weights weights.safetensors",
    "visualize.py --num-samples 2 --worst 1 --out worst.png",
    *(f"{script} --help" for script in (*SCRIPTS, *(f"{name}.py" for name in TOOLS))),
]


@pytest.mark.slow
def test_every_command_works_without_docstrings_and_assertions(tmp_path, files):
    folder = shutil.copytree(files, tmp_path / "place")
    with start_server("-OO") as server:
        run = make_run(server, folder, tmp_path)
        for command in COMMANDS:
            script, *arguments = command.split()
            done = run(script, *arguments, memory=2**32, seconds=600)
            assert done.code == 0, (command, done.err)
            assert "Traceback" not in done.err
