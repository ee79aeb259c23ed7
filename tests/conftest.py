"""Settings and fixtures of all tests."""

import fcntl
import gc
import json
import multiprocessing
import os
import subprocess
import sys

# Before torch is imported: more threads would only wait for each other, and threads that wait should leave the core.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Compiled modules are kept even where the environment says otherwise: each process would compile all of them again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

settings.register_profile("centerdet", deadline=None)  # a deadline would measure the machine's other work
settings.load_profile("centerdet")


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Looks for no garbage among modules and tests, neither while they are loaded nor later: there is none."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A detector, its ONNX model for images of 200 x 200 px, and the finished command that wrote the model.

    The export takes long: one process of the tests runs it, and the others wait for its files, which tests only read.
    """
    from tests.helpers import ROOT, make_detector  # here: the process that distributes the tests needs no torch

    shared, detector = tmp_path_factory.getbasetemp(), make_detector()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent  # of the temporary folders of all processes
    folder, result = shared / "exported", shared / "exported.json"
    with open(shared / "exported.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not result.exists():
            folder.mkdir()
            detector.save(folder / "weights.safetensors")
            command = [sys.executable, "-m", "centerdet", "export", folder / "model.onnx"]
            command += ["--weights", folder / "weights.safetensors"]
            done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
            result.write_text(json.dumps([done.returncode, done.stdout, done.stderr]))
    return detector, folder / "model.onnx", subprocess.CompletedProcess("export", *json.loads(result.read_text()))


@pytest.fixture(scope="session")
def forkserver():
    """Starts processes at once, from a server that has imported everything and has never run a network."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.helpers", "train", "torch.utils.tensorboard", "skimage.draw", "shapely"])
    first = context.Process(target=print)
    first.start()
    first.join()
    return context
