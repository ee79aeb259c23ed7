"""Execution providers: which are used, and errors for those that cannot be."""

import numpy as np
import onnxruntime
import pytest

from centerdet.cli.main import main
from centerdet.export.providers import CPU, CUDA, check_providers, device_providers
from centerdet.export.runtime import OnnxDetector
from tests.helpers import make_noise


@pytest.mark.parametrize(
    ("device", "providers"),
    [
        (None, [CPU]),
        ("cpu", [CPU]),
        ("cuda", [(CUDA, {"device_id": 0}), CPU]),
        ("cuda:1", [(CUDA, {"device_id": 1}), CPU]),
    ],
)
def test_devices_have_the_names_of_torch(device, providers):
    assert device_providers(device) == providers


@pytest.mark.parametrize("device", ["tpu", "cuda:", "cuda:x", "cpu:1", "meta"])
def test_other_devices_are_refused(device):
    with pytest.raises(ValueError, match=f"runs on cpu, cuda or cuda:N, got '{device}'"):
        device_providers(device)


def test_providers_that_are_not_installed_are_refused(exported):
    message = "providers must be among .*CPUExecutionProvider.*, got NoSuchProvider; .*pip install onnxruntime-gpu"
    with pytest.raises(ValueError, match=message):
        OnnxDetector(exported[1], providers=["NoSuchProvider", CPU])
    with pytest.raises(ValueError, match="got none"):
        check_providers([])


def test_the_providers_are_those_that_run_the_model(exported, monkeypatch):
    opened, make = [], onnxruntime.InferenceSession

    def open_session(*arguments, providers, enable_fallback):
        opened.append(providers)
        return make(*arguments, providers=[CPU])

    monkeypatch.setattr(onnxruntime, "InferenceSession", open_session)
    options = [(CPU, {"use_arena": "0"})]
    assert OnnxDetector(exported[1], threads=1, providers=options).detect(make_noise(1)[0])
    assert opened == [options]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    with pytest.raises(ValueError, match="onnxruntime cannot use CUDAExecutionProvider on this machine.*--device cpu"):
        OnnxDetector(exported[1], providers=[CUDA, CPU])
    assert opened[1:] == [[CUDA, CPU]]


def test_the_device_option_reaches_the_model(exported, tmp_path, monkeypatch, capsys):
    np.save(tmp_path / "image.npy", make_noise(1)[0])
    command = ["predict", str(tmp_path / "image.npy"), "--weights", str(exported[1]), "--device"]
    assert main([*command, "cpu"]) == 0
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU])
    capsys.readouterr()
    assert main([*command, "cuda:1"]) == 2
    assert capsys.readouterr().err.startswith("error: providers must be among CPUExecutionProvider, got CUDAExecution")
