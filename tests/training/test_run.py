"""The state of a run: a step, its precision, and what a checkpoint restores."""

import pytest
import torch

import centerdet
from centerdet import TrainingConfig
from centerdet.detector.calibration import Calibration
from tests.helpers import VALIDATION, SmallBatches, make_run, train_tiny


def test_a_checkpoint_restores_threshold_and_calibration(tmp_path):
    runs = [make_run(tmp_path) for _ in range(2)]
    runs[0].start(resume=False)
    runs[0].threshold, runs[0].calibration = 0.123, Calibration(a=0.5, b=2.0, c=0.3)
    runs[0].checkpoint()
    runs[1].start(resume=True)
    for restored in (runs[1], centerdet.load(tmp_path / "last.safetensors")):
        assert (restored.threshold, restored.calibration) == (0.123, Calibration(a=0.5, b=2.0, c=0.3))


def test_bfloat16_is_the_type_of_the_maps_and_float32_that_of_the_loss(tmp_path):
    config = TrainingConfig(steps=2, warmup_steps=0, precision="bfloat16")
    run = make_run(tmp_path, config)
    dtypes = []
    run.network.register_forward_hook(lambda module, inputs, output: dtypes.append(output.center.dtype))
    terms = run.train_step(SmallBatches()[0])
    assert dtypes == [torch.bfloat16]
    assert terms.total.dtype == torch.float32
    assert all(parameter.dtype == torch.float32 for parameter in run.network.parameters())
    assert train_tiny(tmp_path, config=config).samples == len(VALIDATION)


def test_gradients_are_clipped(tmp_path):
    config = TrainingConfig(steps=2, clip_norm=0.125)
    run = make_run(tmp_path, config)
    run.train_step(SmallBatches()[0])
    norm = torch.linalg.vector_norm(torch.cat([p.grad.flatten() for p in run.network.parameters()]))
    assert norm.item() == pytest.approx(0.125, rel=1e-4)
