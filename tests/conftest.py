"""What several test files share: exporting takes long, so it is done once, as a user does it."""

import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: more only wait for each other

import pytest
import torch
from hypothesis import settings

import centerdet

ROOT = Path(__file__).parent.parent
settings.register_profile("centerdet", deadline=None)  # one would measure what else the machine does
settings.load_profile("centerdet")


def make_detector(seed=0, **config):
    """A small network that says something else everywhere, as a trained one does."""
    torch.manual_seed(seed)
    network = centerdet.CenterNet(centerdet.NetworkConfig(**{"widths": (8, 8), "blocks": (1, 1), **config}))
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.is_floating_point() and not name.endswith("matrices"):
                value.copy_(
                    torch.rand_like(value) + 0.5 if name.endswith("var") else value + torch.randn_like(value) / 5
                )
        network.heads.scalars[1:] /= 10  # sizes that are sizes
        network.heads.bias.copy_(torch.tensor([-3.0, 1.0, 1.5]))
    codec = centerdet.Codec(stride=network.config.stride)
    return centerdet.Detector(network, codec, threshold=0.2, report={"validation": {"ap": 0.5}})


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A detector, its model for images of 200 x 200 px, and what the command said that wrote it."""
    folder = tmp_path_factory.mktemp("exported")
    detector = make_detector()
    detector.save(folder / "weights.safetensors")
    command = [sys.executable, "-m", "centerdet", "export", folder / "model.onnx"]
    command += ["--weights", folder / "weights.safetensors"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    return detector, folder / "model.onnx", done
