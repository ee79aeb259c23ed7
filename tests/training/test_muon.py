"""Muon in single precision, against torch's."""

import pytest
import torch

from centerdet.training.muon import Muon, orthogonalise


@pytest.mark.parametrize("shape", [(4, 72), (72, 4), (40, 60)])
def test_orthogonalise_keeps_the_singular_vectors_and_equalises_the_values(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    settings = Muon([torch.nn.Parameter(matrix)], lr=1, weight_decay=0).defaults
    orthogonal = orthogonalise(matrix, settings["ns_coefficients"], settings["ns_steps"], settings["eps"])
    result = left.T @ orthogonal @ right.T
    diagonal = result.diagonal()
    assert torch.allclose(result, diagonal.diag(), atol=1e-4)
    large = values > 0.05 * values.max()
    assert large.sum() > 0.9 * len(values)
    assert diagonal[large].min() > 0.6
    assert diagonal.max() < 1.3


def test_a_gradient_of_zeros_changes_nothing_but_the_decay():
    weight = torch.nn.Parameter(torch.ones(3, 5))
    weight.grad = torch.zeros(3, 5)
    Muon([weight], lr=0.1, weight_decay=0.5).step()
    assert torch.allclose(weight, torch.full((3, 5), 0.95))


def test_steps_and_state_are_those_of_torch():
    torch.manual_seed(0)
    start, without_gradient = torch.randn(6, 50), torch.nn.Parameter(torch.ones(2, 2))
    ours, theirs = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    muon = Muon([ours, without_gradient], lr=0.02, weight_decay=0.1)
    reference = torch.optim.Muon([theirs], lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(10):
        ours.grad = torch.randn(6, 50)
        theirs.grad = ours.grad.clone()
        muon.step()
        reference.step()
    moved = (theirs - start).norm()
    assert (ours - theirs).norm() < 0.01 * moved  # torch's matrix products are in bfloat16
    buffer = muon.state_dict()["state"][0]
    assert buffer.keys() == reference.state_dict()["state"][0].keys()
    assert torch.equal(buffer["momentum_buffer"], reference.state_dict()["state"][0]["momentum_buffer"])
    assert torch.equal(without_gradient, torch.ones(2, 2))
