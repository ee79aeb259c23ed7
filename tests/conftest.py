"""Settings and fixtures of all tests."""

import os
import subprocess
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: more threads would only wait for each other

import pytest
from hypothesis import settings

from tests.helpers import ROOT, make_detector

settings.register_profile("centerdet", deadline=None)  # a deadline would measure the machine's other work
settings.load_profile("centerdet")


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A detector, its ONNX model for images of 200 x 200 px, and the finished command that wrote the model."""
    folder = tmp_path_factory.mktemp("exported")
    detector = make_detector()
    detector.save(folder / "weights.safetensors")
    command = [sys.executable, "-m", "centerdet", "export", folder / "model.onnx"]
    command += ["--weights", folder / "weights.safetensors"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    return detector, folder / "model.onnx", done
