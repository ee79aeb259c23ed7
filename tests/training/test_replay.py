"""The replay of a batch whose loss was not finite."""

import pytest
import torch

from centerdet import CenterLoss
from centerdet.training.replay import replay
from tests.helpers import BrokenBatches, state_of, train_tiny
from tools import replay_batch


def test_a_loss_that_is_not_finite_keeps_its_batch_for_a_replay(tmp_path, capsys):
    with pytest.raises(FloatingPointError, match=r"replay_batch\.py .*nonfinite-0\.pt' shows where"):
        train_tiny(tmp_path, source=BrokenBatches())
    assert state_of(tmp_path)["step"] == 2
    again = replay(tmp_path / "nonfinite-0.pt")
    assert again.step == 3
    assert torch.isnan(again.terms.total)
    for kept, given in zip(again.batch, BrokenBatches()[3], strict=True):
        assert torch.equal(kept.nan_to_num(-1), given.nan_to_num(-1))
    assert replay_batch.main([str(tmp_path / "nonfinite-0.pt"), "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert "step 3, 4 images of (64, 64) px" in printed
    assert "images: " in printed
    assert ", not finite in image 2\n" in printed
    assert "loss, total: nan" in printed
    train_tiny(tmp_path, resume=True)  # with other batches, the run continues


class OverflowingLoss(CenterLoss):
    """The total is infinite in step 3."""

    calls = 0

    def forward(self, prediction, target):
        terms = super().forward(prediction, target)
        self.calls += 1
        return terms._replace(total=terms.total + torch.inf) if self.calls == 4 else terms


def test_a_replay_computes_what_the_step_computed(tmp_path, monkeypatch):
    criterion, computed = OverflowingLoss(), []
    criterion.register_forward_hook(lambda module, inputs, output: computed.append(output))
    monkeypatch.setattr("tests.helpers.CenterLoss", lambda: criterion)
    with pytest.raises(FloatingPointError, match="the loss of step 3 is inf"):
        train_tiny(tmp_path)
    again = replay(tmp_path / "nonfinite-0.pt")
    assert again.terms[1:] == computed[-1][1:]  # to the bit; the total was made infinite above
    assert torch.isfinite(again.terms.total)
    assert "weights: finite" in str(again)


@pytest.mark.parametrize("content", [b"", b"text", None])
def test_other_files_cannot_be_replayed(content, tmp_path, capsys):
    path = tmp_path / "nonfinite-0.pt"
    if content is None:
        torch.save({"format": "centerdet kept batch 1", "step": 3}, path)
    else:
        path.write_bytes(content)
    assert replay_batch.main([str(path), "--device", "cpu"]) == 2
    assert str(path) in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"missing\.pt is missing"):
        replay(tmp_path / "missing.pt")
