"""Optimisers, learning rate and moving average."""

from dataclasses import replace

import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from centerdet import CenterNet, TrainingConfig
from centerdet.model.equivariant import GroupConv
from centerdet.training.optim import ema_update, learning_rate, make_optimizers
from tests.helpers import CONFIG, TINY, make_run


def test_learning_rate_warms_up_and_falls_to_zero():
    config = TrainingConfig(steps=100, warmup_steps=10, learning_rate=1.0)
    rates = [learning_rate(step, config, config.steps) for step in range(101)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[55] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_muon_trains_the_group_convolutions_and_only_kernels_are_decayed():
    network = CenterNet(TINY)
    muon, adam = optimizers = make_optimizers(network, CONFIG)
    assert isinstance(muon, torch.optim.Muon)
    assert isinstance(adam, torch.optim.AdamW)
    convolutions = {id(layer.weight) for layer in network.modules() if isinstance(layer, GroupConv)}
    assert {id(weight) for weight in muon.param_groups[0]["params"]} == convolutions
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    parameters = {id(parameter) for group in groups for parameter in group["params"]}
    assert parameters == {id(parameter) for parameter in network.parameters()}
    for group in groups:
        kernels = group["weight_decay"] == CONFIG.weight_decay
        assert kernels or group["weight_decay"] == 0
        assert all((parameter.ndim > 1) == kernels for parameter in group["params"])


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.99, 0.9995])
def test_averaging_does_not_change_constants(decay, tmp_path):
    config = replace(CONFIG, ema_decay=decay)
    run = make_run(tmp_path, config)
    for _ in range(300):
        run.ema.update_parameters(run.network)
    for name, layer in run.network.named_modules():
        if isinstance(layer, GroupConv):
            assert torch.equal(run.ema.module.get_submodule(name).places, layer.places)


def test_the_average_forgets_the_start_of_a_short_run():
    weight = torch.nn.Linear(1, 1, bias=False)
    ema = AveragedModel(weight, multi_avg_fn=ema_update(0.999))
    for step in range(100):
        torch.nn.init.constant_(weight.weight, step)
        ema.update_parameters(weight)
    assert ema.module.weight.item() == pytest.approx(90, abs=3)
