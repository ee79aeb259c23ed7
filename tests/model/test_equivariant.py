import pytest
import torch

from centerdet.model.dihedral import axis_matrices, matrices, transform
from centerdet.model.equivariant import GroupBatchNorm, GroupConv, LiftingConv
from centerdet.model.head import EquivariantHead


def act(features, element):
    """Applies an element of the group to fields: moves the maps, and reorders the channels of each field."""
    table = matrices()
    order = [int((table == table[element].T @ matrix).all(-1).all(-1).nonzero()) for matrix in table]
    fields = transform(features, element).unflatten(1, (-1, 8))
    return fields[:, :, order].flatten(1, 2)


@pytest.mark.parametrize("element", range(8))
@pytest.mark.parametrize("kernel_size", [1, 2, 3])
def test_group_convolutions_are_equivariant(kernel_size, element):
    torch.manual_seed(0)
    layer = GroupConv(16, 24, kernel_size, bias=True)
    torch.nn.init.normal_(layer.bias)
    features = torch.randn(2, 16, 6, 8)
    torch.testing.assert_close(layer(act(features, element)), act(layer(features), element), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("element", range(8))
def test_lifting_convolutions_are_equivariant(element):
    torch.manual_seed(0)
    layer = LiftingConv(2, 16, stride=4)
    image = torch.randn(1, 2, 24, 32)
    lifted, moved = layer(image), layer(transform(image, element))
    assert lifted.shape == (1, 16, 6, 8)
    torch.testing.assert_close(moved, act(lifted, element), atol=1e-5, rtol=1e-5)
    strided = torch.nn.functional.conv2d(image, layer.weight, stride=4, padding=4)  # the first channel of each field
    torch.testing.assert_close(lifted[:, ::8], strided, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("element", range(8))
def test_heads_are_equivariant_for_scalars_vectors_and_axes(element):
    torch.manual_seed(0)
    layer = EquivariantHead(16, scalars=1, vectors=("vector", "axis", "vector"))
    torch.nn.init.ones_(layer.bias)
    features = torch.randn(1, 16, 4, 6)
    maps, moved = layer(features), layer(act(features, element))
    torch.testing.assert_close(moved[:, :1], transform(maps[:, :1], element))
    for first, action in ((1, matrices()), (3, axis_matrices()), (5, matrices())):
        turned = torch.einsum("ij,bjhw->bihw", action[element], maps[:, first : first + 2])
        torch.testing.assert_close(moved[:, first : first + 2], transform(turned, element), atol=1e-6, rtol=1e-5)


def test_batch_norm_normalises_each_channel_of_a_batch():
    layer = GroupBatchNorm(16)
    torch.nn.init.constant_(layer.weight, 2.0)
    torch.nn.init.constant_(layer.bias, 3.0)
    out = layer(torch.randn(64, 16, 8, 8) * 5 + 7)
    torch.testing.assert_close(out.mean((0, 2, 3)), torch.full((16,), 3.0))
    torch.testing.assert_close(out.std((0, 2, 3)), torch.full((16,), 2.0), atol=1e-2, rtol=0)


def test_batch_norm_shares_statistics_within_a_field_in_evaluation():
    layer = GroupBatchNorm(16).eval()
    layer.running_mean.copy_(torch.arange(16.0))
    layer.running_var.copy_(torch.arange(16.0) + 1)
    out = layer(torch.zeros(1, 16, 1, 1)).flatten()
    assert out.tolist() == pytest.approx([-3.5 / 4.5**0.5] * 8 + [-11.5 / 12.5**0.5] * 8, rel=1e-4)


@pytest.mark.parametrize(
    ("layer", "features"),
    [
        (LiftingConv(2, 16, stride=2), torch.randn(2, 2, 10, 10)),
        (GroupConv(16, 8, 3), torch.randn(2, 16, 5, 5)),
        (GroupConv(16, 8, 2), torch.randn(2, 16, 6, 6)),
        (GroupConv(16, 8, 1, bias=True), torch.randn(2, 16, 5, 5)),
        (EquivariantHead(16, scalars=3, vectors=("axis", "vector")), torch.randn(2, 16, 5, 5)),
        (GroupBatchNorm(16).eval(), torch.randn(2, 16, 5, 5)),
    ],
)
def test_ordinary_layers_compute_the_same(layer, features):
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    ordinary = layer.to_batch_norm() if isinstance(layer, GroupBatchNorm) else layer.to_conv()
    torch.testing.assert_close(ordinary(features), layer(features), atol=1e-5, rtol=1e-5)
