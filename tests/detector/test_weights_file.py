"""Weights files: whole or refused, and never executed."""

import os
import pickle

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import centerdet
from centerdet.detector.pretrained import pretrained_path
from centerdet.detector.weights_file import read_weights, write_weights

TENSORS = {"a": torch.tensor([[1.5, -2.0]]), "count": torch.tensor(3), "b": torch.tensor([0.25], dtype=torch.bfloat16)}
FACTS = {"threshold": 0.5, "report": {"who": "Grüße", "list": [1, None]}}


@pytest.fixture
def written(tmp_path):
    write_weights(tmp_path / "w", TENSORS, FACTS)
    return tmp_path / "w"


def test_what_is_written_comes_back(written):
    tensors, header = read_weights(written)
    assert header == FACTS
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def test_no_single_bit_can_change_unnoticed(written):
    content = written.read_bytes()
    reasons = set()
    for bit in range(0, 8 * len(content), 3):  # two or three of each byte's
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        written.write_bytes(damaged)
        with pytest.raises(ValueError, match="give a file that|take another copy") as caught:
            read_weights(written)
        reasons.add(str(caught.value)[:10])
    assert len(reasons) == 3  # no safetensors file, another format, a wrong digest


@pytest.mark.parametrize("change", ["digest", "value", "shape", "type", "name", "fact", "more", "less"])
def test_the_digest_is_over_everything(change, written):
    with safe_open(written, framework="pt") as file:
        header = file.header()
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
    elif change == "fact":
        header["threshold"] = "0.4"
    elif change == "more":
        header["further"] = "1"
    else:
        del tensors["count"]
    save_file(tensors, written, header)
    with pytest.raises(ValueError, match="its digest does not fit its content"):
        read_weights(written)


def test_files_from_before_there_were_digests_are_read(written):
    save_file(TENSORS, written, {"format": "centerdet weights 2", "threshold": "0.5"})
    assert read_weights(written)[1] == {"threshold": 0.5}


@pytest.mark.parametrize("format", ["centerdet weights 1", "centerdet weights 4", None])
def test_other_formats_are_named(format, written):
    save_file(TENSORS, written, {"format": format} if format else None)
    with pytest.raises(ValueError, match=f"its format is {format!r}, not 'centerdet weights 3'"):
        read_weights(written)


def test_the_shipped_weights_have_a_digest():
    with safe_open(pretrained_path("shipped"), framework="pt") as file:
        assert len(file.header()["digest"]) == 64


class Hostile:
    """Makes a folder, if anything executes it."""

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
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        centerdet.load(path)
    assert not executed.exists()
    if writer == "pickle":
        pickle.loads(path.read_bytes())  # it is hostile indeed
        assert executed.exists()


def test_what_is_no_file_is_told_with_a_remedy(tmp_path):
    with pytest.raises(ValueError, match="no such file; give .* or name shipped ones: shipped, fast"):
        centerdet.load("fats")
    with pytest.raises(ValueError, match="it is a folder; give a file"):
        centerdet.load(tmp_path)


def test_a_file_may_have_the_name_of_shipped_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    centerdet.load("shipped").save("fast")
    count = sum(tensor.numel() for tensor in centerdet.load("./fast").network.parameters())
    assert count > sum(tensor.numel() for tensor in centerdet.load("fast").network.parameters())
