"""Checkpoints: only those that fit are resumed, and no code in them is executed."""

import os
import zipfile
from dataclasses import replace

import pytest
import torch

from centerdet.training.checkpoint import CHECKPOINT_FORMAT, add_digest, load_checkpoint, save_checkpoint
from tests.helpers import CONFIG, save_state, train_tiny


def test_a_run_is_never_overwritten_nor_resumed_with_other_settings(finished_run, tmp_path):
    with pytest.raises(ValueError, match="already holds a run"):
        train_tiny(finished_run[0])
    with pytest.raises(ValueError, match="nothing to resume"):
        train_tiny(tmp_path / "new", resume=True)
    with pytest.raises(ValueError, match="settings differ .* in extra;"):
        train_tiny(finished_run[0], resume=True, settings={"extra": 1})
    with pytest.raises(ValueError, match="settings differ .* in training.learning_rate, training.steps;"):
        train_tiny(finished_run[0], resume=True, config=replace(CONFIG, steps=7, learning_rate=1e-3))


def test_checkpoints_that_do_not_fit_are_refused(finished_run, tmp_path):
    state = torch.load(finished_run[0] / "checkpoint.pt", weights_only=True)
    for key in ("best", "network"):
        save_state({name: value for name, value in state.items() if name != key}, tmp_path / "checkpoint.pt")
        with pytest.raises(ValueError, match=f"does not fit this network: '{key}'"):
            train_tiny(tmp_path, resume=True)
    wrong = {**state, "network": {"stem.0.weight": torch.zeros(3)}}
    save_state(wrong, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="does not fit this network: .*Missing key"):
        train_tiny(tmp_path, resume=True)
    save_state({**state, "settings": None}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="settings differ"):
        train_tiny(tmp_path, resume=True)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"\x80\x04.", b"text"])
def test_damaged_checkpoints_are_refused(content, tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(ValueError, match="cannot resume: .*checkpoint.pt"):
        train_tiny(tmp_path, resume=True)


def test_a_cut_checkpoint_is_refused(finished_run, tmp_path):
    content = (finished_run[0] / "checkpoint.pt").read_bytes()
    (tmp_path / "checkpoint.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="cannot resume"):
        train_tiny(tmp_path, resume=True)


def test_checkpoints_never_execute_code(tmp_path):
    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    save_state({"format": CHECKPOINT_FORMAT, "settings": Hostile()}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="cannot resume"):
        train_tiny(tmp_path, resume=True)
    assert not (tmp_path / "executed").exists()


def test_a_flipped_bit_anywhere_is_noticed(tmp_path):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"settings": {}, "network": {"weight": torch.arange(9.0)}})
    assert load_checkpoint(path, settings={})["network"]["weight"][3] == 3
    content = path.read_bytes()
    for place in range(0, len(content), 11):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="cannot resume: .*checkpoint.pt is missing, damaged or not"):
            load_checkpoint(path, settings={})


def test_compressed_entries_are_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"network": {"weight": torch.zeros(10**6)}})
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(tmp_path / "bomb", "w", zipfile.ZIP_DEFLATED) as bomb:
        for name in archive.namelist():
            bomb.writestr(name, archive.read(name))
    path.write_bytes(add_digest((tmp_path / "bomb").read_bytes()))
    with pytest.raises(ValueError, match="cannot resume: .*it has compressed entries"):
        load_checkpoint(path, settings=None)


def test_tensors_that_repeat_a_value_are_refused(tmp_path):
    save_state({"format": CHECKPOINT_FORMAT, "x": torch.zeros(1).expand(10**12)}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="cannot resume: .*a tensor of shape .1000000000000,. with fewer values"):
        load_checkpoint(tmp_path / "checkpoint.pt", settings=None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"step": "2"}, "step is invalid: .* got a value of type str"),
        ({"step": True}, "step is invalid"),
        ({"step": -1}, "step is invalid"),
        ({"step": 10**400}, "step is invalid"),
        ({"best": [1]}, "best is invalid"),
        ({"best": {"ap": "high", "step": 2, "report": {}}}, "ap is invalid"),
        ({"threshold": 2.0}, "threshold is invalid"),
        ({"calibration": {"a": "1"}}, "calibration is invalid"),
        ({"calibration": {"d": 1.0}}, "unexpected keyword"),
        ({"optimizers": {}}, "optimizers is invalid"),
        ({"optimizers": [{}, {}]}, "the state of an optimiser is invalid"),
        ({"optimizers": []}, "argument 2 is shorter"),
        ({"network": 3}, "network is invalid"),
        ({"ema": {}}, "Missing key"),
        ({"settings": {"a": torch.zeros(3)}}, "settings differ"),
        ({"settings": {1: 2, "a": 3}}, "settings differ"),
    ],
)
def test_values_of_other_types_are_refused(finished_run, tmp_path, changes, message):
    state = torch.load(finished_run[0] / "checkpoint.pt", weights_only=True)
    save_state({**state, **changes}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match=f"cannot resume: .*{message}"):
        train_tiny(tmp_path, resume=True)


@pytest.mark.parametrize("part", ["weight_decay", "shape"])
def test_optimisers_with_other_settings_are_refused(finished_run, tmp_path, part):
    state = torch.load(finished_run[0] / "checkpoint.pt", weights_only=True)
    optimizer = state["optimizers"][0]
    if part == "shape":
        optimizer["state"][0] = {name: torch.zeros(2, 2) for name in optimizer["state"][0]}
    else:
        optimizer["param_groups"][0][part] = "high"
    save_state(state, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="cannot resume: .*the state of an optimiser has other"):
        train_tiny(tmp_path, resume=True)
