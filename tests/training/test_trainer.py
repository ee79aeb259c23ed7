"""The loop learns, stops and continues exactly, and loses nothing."""

import math
import os
import signal
from contextlib import contextmanager

import numpy as np
import pytest
import torch

import centerdet
from centerdet import Batch, CenterLoss, CenterNet, Codec, NetworkConfig, TrainingConfig, fit
from centerdet.synthetic.batches import draw_batch
from centerdet.synthetic.scenes import ScenesConfig
from tests.helpers import (
    CONFIG,
    VALIDATION,
    BrokenBatches,
    SmallBatches,
    assert_same_run,
    entries,
    state_of,
    train_tiny,
    without_times,
)


def interrupt_at(step):
    """Batches that send Ctrl-C at a step."""

    def interrupt(now):
        if now == step:
            os.kill(os.getpid(), signal.SIGINT)

    return SmallBatches(interrupt)


def test_a_run_leaves_detectors_a_checkpoint_and_its_log(finished_run):
    directory, report = finished_run
    assert {path.name for path in directory.iterdir()} == {
        "best.safetensors",
        "last.safetensors",
        "checkpoint.pt",
        "metrics.jsonl",
        "tensorboard",
    }
    best = centerdet.load(directory / "best.safetensors")
    assert best.metadata["validation"]["ap"] == report.ap
    assert report.samples == len(VALIDATION)
    lines = entries(directory)
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in lines if "validation" in line] == [3, 6]
    assert set(lines[0]["loss"]) == {"total", "center", "size", "yaw", "offset"}
    assert lines[0]["learning_rate"] == pytest.approx(CONFIG.learning_rate, rel=1e-6)  # warm-up ends with step 2


@pytest.mark.parametrize("step", [0, 2, 3])
def test_a_stopped_run_continues_exactly(finished_run, tmp_path, step):
    with pytest.raises(KeyboardInterrupt, match=f"stopped after step {step + 1} of 6"):
        train_tiny(tmp_path, source=interrupt_at(step))
    assert state_of(tmp_path)["step"] == step + 1
    assert (tmp_path / "last.safetensors").exists()
    report = train_tiny(tmp_path, resume=True)
    assert_same_run(tmp_path, finished_run[0])
    assert without_times(report.to_dict()) == without_times(finished_run[1].to_dict())


def test_the_best_is_remembered_over_an_interruption(finished_run, tmp_path):
    """The first validation of this run is the best; resuming keeps it."""
    assert state_of(finished_run[0])["best"]["step"] == 3
    with pytest.raises(KeyboardInterrupt):
        train_tiny(tmp_path, source=interrupt_at(3))
    train_tiny(tmp_path, resume=True)
    assert state_of(tmp_path)["best"]["step"] == 3
    assert centerdet.load(tmp_path / "best.safetensors").metadata["step"] == 3


def test_a_signal_between_checkpoints_causes_a_checkpoint(tmp_path, monkeypatch):
    signals = iter([False, False, True])

    @contextmanager
    def interrupts():
        yield lambda: next(signals)

    monkeypatch.setattr("centerdet.training.trainer.catch_interrupts", interrupts)
    with pytest.raises(KeyboardInterrupt, match="stopped after step 3"):
        train_tiny(tmp_path)
    assert state_of(tmp_path)["step"] == 3


def test_a_crashed_run_continues_from_its_last_checkpoint(finished_run, tmp_path):
    def crash(step):
        if step == 5:
            raise RuntimeError("power failure")

    with pytest.raises(RuntimeError, match="power failure"):
        train_tiny(tmp_path, source=SmallBatches(crash))
    assert state_of(tmp_path)["step"] == 4
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 6, "lo')
    train_tiny(tmp_path, resume=True)
    assert_same_run(tmp_path, finished_run[0])


def test_signal_handlers_are_restored(tmp_path):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    train_tiny(tmp_path)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    with pytest.raises(FloatingPointError, match="the loss of step 3 is nan"):
        train_tiny(tmp_path, source=BrokenBatches())
    assert state_of(tmp_path)["step"] == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": torch.zeros(4, 64, 64)}, r"got shapes \(4, 64, 64\)"),
        ({"images": torch.zeros(4, 1, 64, 64, dtype=torch.uint8)}, "images must be floats .* got torch.uint8"),
        ({"images": torch.full((4, 1, 64, 64), 255.0)}, r"images must lie in \[0, 1\], got 255 to 255"),
        ({"images": torch.full((4, 1, 64, 64), math.nan)}, "images must lie in"),
        ({"boxes": torch.ones(4, 4)}, r"got shapes .*\(4, 4\)"),
        ({"boxes": torch.full((4, 5), math.nan)}, "boxes must be finite"),
        ({"boxes": torch.zeros(4, 5)}, "sizes above 0"),
        ({"has_object": torch.ones(4)}, "has_object bool, got .* torch.float32"),
        ({"has_object": torch.ones(3, dtype=torch.bool)}, "got shapes"),
    ],
)
def test_invalid_batches_are_refused(change, message, tmp_path):
    good = Batch(torch.zeros(4, 1, 64, 64), torch.ones(4, 5), torch.ones(4, dtype=torch.bool))
    with pytest.raises(ValueError, match=message):
        train_tiny(tmp_path, source=[good._replace(**change)] * 6)


def test_a_list_of_batches_is_a_source(tmp_path):
    batches = SmallBatches().batches
    assert train_tiny(tmp_path, source=[batches[step] for step in range(6)]).samples == len(VALIDATION)


def test_four_scenes_can_be_overfitted(tmp_path):
    torch.manual_seed(0)
    rng = np.random.Generator(np.random.SFC64(3))
    batch = draw_batch(rng, 4, scenes=ScenesConfig(ship_probability=1.0), crop_size=80)

    class SameBatch:
        def __getitem__(self, step) -> Batch:
            return batch

    network = CenterNet(NetworkConfig(channels=(32, 32), num_blocks=(1, 1)))
    boxes = [centerdet.RotatedBox(*box.tolist()) for box in batch.boxes]
    scenes = [(image.numpy(), box) for image, box in zip(batch.images[:, 0], boxes, strict=True)]
    config = TrainingConfig(steps=250, warmup_steps=20, learning_rate=5e-3, ema_decay=0.9, validate_every=250)
    fit(network, Codec(), CenterLoss(), SameBatch(), scenes, config=config, directory=tmp_path)
    detector = centerdet.load(tmp_path / "best.safetensors")
    ious = [centerdet.score_iou(detector(image).box.to_array(), box.to_array()) for image, box in scenes]
    assert min(ious) > 0.9
