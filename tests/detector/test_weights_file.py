"""Weights files are read completely or refused, and never executed."""

import json
import os
import pickle

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import centerdet
from centerdet import Calibration, CenterNet, Codec, CodecConfig, Detector, NetworkConfig, RefinementConfig, ScenePrior
from centerdet.detector.pretrained import pretrained_path
from centerdet.detector.weights_file import _digest, read_weights, write_weights

TENSORS = {"a": torch.tensor([[1.5, -2.0]]), "count": torch.tensor(3), "b": torch.tensor([0.25], dtype=torch.bfloat16)}
HEADER = {"threshold": 0.5, "metadata": {"name": "Grüße", "list": [1, None]}}
FORMAT = "centerdet weights 4"


@pytest.fixture
def written(tmp_path):
    write_weights(tmp_path / "w", TENSORS, HEADER)
    return tmp_path / "w"


def test_tensors_and_header_are_read_back(written):
    tensors, header = read_weights(written)
    assert header == HEADER
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def test_a_change_of_any_bit_is_noticed(written):
    content = written.read_bytes()
    reasons = set()
    for bit in range(0, 8 * len(content), 3):  # two or three bits of each byte
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        written.write_bytes(damaged)
        with pytest.raises(ValueError, match="give a file that|take another copy") as caught:
            read_weights(written)
        reasons.add(str(caught.value)[:10])
    assert len(reasons) == 3  # no safetensors file, another format, a wrong digest


@pytest.mark.parametrize("change", ["digest", "value", "shape", "type", "name", "header", "more", "less"])
def test_the_digest_covers_everything(change, written):
    with safe_open(written, framework="pt") as file:
        header = file.metadata()
    tensors = load_file(written)
    if change == "digest":
        del header["digest"]
    elif change == "value":
        tensors["a"][0, 1] = 2.0
    elif change == "shape":
        tensors["a"] = tensors["a"].T.contiguous()
    elif change == "type":
        tensors["a"] = tensors["a"].view(torch.int32)
    elif change == "name":
        tensors["c"] = tensors.pop("a")
    elif change == "header":
        header["threshold"] = "0.4"
    elif change == "more":
        header["further"] = "1"
    else:
        del tensors["count"]
    save_file(tensors, written, header)
    with pytest.raises(ValueError, match="its digest does not fit its content"):
        read_weights(written)


@pytest.mark.parametrize("format", ["centerdet weights 1", "centerdet weights 3", "centerdet weights 5", None])
def test_other_formats_are_refused_by_name(format, written):
    save_file(TENSORS, written, {"format": format} if format else None)
    with pytest.raises(ValueError, match=f"its format is {format!r}, not {FORMAT!r}; give a file that this version"):
        read_weights(written)


@pytest.mark.parametrize("name", ["accurate", "fast"])
def test_the_pretrained_weights_have_a_digest(name):
    with safe_open(pretrained_path(name), framework="pt") as file:
        assert len(file.metadata()["digest"]) == 64


@pytest.fixture
def detector():
    torch.manual_seed(0)
    network = CenterNet(NetworkConfig(channels=(8, 8), num_blocks=(1, 1)))
    return Detector(network, Codec(config=CodecConfig(size_unit=20)), threshold=0.0, metadata={"step": 3})


def test_a_saved_detector_is_loaded_completely(detector, tmp_path):
    path = tmp_path / "weights.safetensors"
    detector.threshold, detector.calibration = 0.005, Calibration(a=0.5, b=2.0, c=0.3)
    detector.refinement = RefinementConfig(scene=ScenePrior(num_lines=3), threshold=0.1, calibration=Calibration(c=1))
    detector.intensity_range = (-1.0, 2.0)
    detector.save(path)
    loaded = centerdet.load(path)
    assert loaded.threshold == 0.005
    assert loaded.calibration == detector.calibration
    assert loaded.refinement == detector.refinement
    assert loaded.intensity_range == (-1.0, 2.0)
    assert loaded.metadata == {"step": 3}
    assert loaded.network.config == detector.network.config
    assert loaded.codec.config == detector.codec.config
    images = np.random.default_rng(0).random((3, 64, 80))
    assert loaded.detect_batch(images) == detector.detect_batch(images)
    assert [file.name for file in tmp_path.iterdir()] == ["weights.safetensors"]
    assert centerdet.load(path, threshold=0.7).threshold == 0.7


def test_absent_options_are_loaded_as_none(detector, tmp_path):
    detector.save(tmp_path / "weights")
    loaded = centerdet.load(tmp_path / "weights")
    assert (loaded.intensity_range, loaded.refinement) == (None, None)


def make_header(**changes):
    network = {"channels": [8], "num_blocks": [1]}
    header = {"network": network, "codec": {}, "threshold": 0.5, "calibration": {}, "metadata": {}, **changes}
    return {"format": FORMAT} | {key: json.dumps(value) for key, value in header.items()}


def make_tensors(**config):
    return CenterNet(NetworkConfig(**{"channels": (8,), "num_blocks": (1,), **config})).state_dict()


def save_with_digest(tensors, path, header):
    """Writes any header with the digest that belongs to it."""
    save_file(tensors, path, header and header | {"digest": _digest(tensors, header)})


@pytest.mark.parametrize(
    ("tensors", "header", "message"),
    [
        (make_tensors(), None, "its format is"),
        (make_tensors(), {**make_header(), "format": "centerdet weights 0"}, "its format is"),
        (make_tensors(channels=(16,)), make_header(), "size mismatch"),
        (make_tensors(channels=(8, 8), num_blocks=(1, 1)), make_header(), "Unexpected key"),
        ({"x": torch.zeros(1)}, make_header(), "Missing key"),
        (make_tensors(), make_header(network={"chanels": [8]}), "chanels"),
        (make_tensors(), make_header(network={"channels": "many", "num_blocks": [1]}), ""),
        (make_tensors(), make_header(network=[1]), ""),
        (make_tensors(), make_header(network=None), ""),
        (make_tensors(), make_header(codec="x"), ""),
        (make_tensors(), make_header(codec={"decode_window": 3.0}), "codec.decode_window: .*integer"),
        (make_tensors(), make_header(codec={"size_unit": float("nan")}), "only finite numbers"),
        (make_tensors(), make_header(metadata=5), "metadata: .* got 5"),
        (make_tensors() | {"heads.bias": torch.tensor([float("nan")])}, make_header(), "heads.bias holds NaN"),
        (make_tensors() | {"heads.bias": torch.tensor([1])}, make_header(), "heads.bias is torch.int64"),
        (make_tensors(), make_header(threshold=2), "threshold must lie"),
        (make_tensors(), make_header(calibration={"a": -1}), "a calibration needs"),
        (make_tensors(), make_header(calibration=None), ""),
        (make_tensors(), make_header(threshold="high"), "threshold: .*number, got .high."),
        (make_tensors(), make_header(intensity_range=[1, 0]), "intensity_range must be two increasing numbers"),
        (make_tensors(), make_header(refinement={"scene": {"outline": [[0, 0]]}}), "outline needs 3 to 100"),
        (make_tensors(), {**make_header(), "network": "{"}, ""),
        (make_tensors(), {key: value for key, value in make_header().items() if key != "codec"}, "codec"),
    ],
)
def test_files_that_are_no_detectors_are_refused(tensors, header, message, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_with_digest(tensors, path, header)
    with pytest.raises(ValueError, match=f"cannot load weights .*weights.safetensors.*{message}"):
        centerdet.load(path)


def test_the_header_of_these_tests_is_valid(tmp_path):
    save_with_digest(make_tensors(), tmp_path / "weights", make_header())
    assert centerdet.load(tmp_path / "weights").threshold == 0.5


def test_damaged_files_are_refused(detector, tmp_path):
    detector.save(tmp_path / "complete")
    content = (tmp_path / "complete").read_bytes()
    for damaged in (b"", content[:100], content[:-1], b"\x80\x04" + content, b"hello" * 100):
        (tmp_path / "damaged").write_bytes(damaged)
        with pytest.raises(ValueError, match="not a complete safetensors file"):
            centerdet.load(tmp_path / "damaged")


def test_a_failed_save_leaves_the_old_file(detector, tmp_path, monkeypatch):
    path = tmp_path / "weights"
    detector.save(path)
    before = path.read_bytes()
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        detector.save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["weights"]


class Hostile:
    """Makes a folder if anything executes it."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("writer", ["pickle", "torch.save", "legacy torch.save"])
def test_a_hostile_pickle_is_refused_and_not_executed(writer, tmp_path):
    path, executed = tmp_path / "weights.safetensors", tmp_path / "executed"
    if writer == "pickle":
        path.write_bytes(pickle.dumps(Hostile(executed)))
    else:
        torch.save({"w": Hostile(executed)}, path, _use_new_zipfile_serialization=writer == "torch.save")
    with pytest.raises(ValueError, match="not a complete safetensors file"):
        centerdet.load(path)
    assert not executed.exists()
    if writer == "pickle":
        pickle.loads(path.read_bytes())  # proves that it is hostile
        assert executed.exists()
