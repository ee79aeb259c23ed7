"""Checkpoints: only those that fit are resumed, and no code in them is executed."""

import os
from dataclasses import replace

import pytest
import torch

from centerdet.training.checkpoint import CHECKPOINT_FORMAT
from tests.helpers import CONFIG, train_tiny


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
        torch.save({name: value for name, value in state.items() if name != key}, tmp_path / "checkpoint.pt")
        with pytest.raises(ValueError, match=f"does not fit this network: '{key}'"):
            train_tiny(tmp_path, resume=True)
    wrong = {**state, "network": {"stem.0.weight": torch.zeros(3)}}
    torch.save(wrong, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="does not fit this network: .*Missing key"):
        train_tiny(tmp_path, resume=True)
    torch.save({**state, "settings": None}, tmp_path / "checkpoint.pt")
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

    torch.save({"format": CHECKPOINT_FORMAT, "settings": Hostile()}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="cannot resume"):
        train_tiny(tmp_path, resume=True)
    assert not (tmp_path / "executed").exists()
