import math

import pytest
import torch

from centerdet.model.equivariant import (
    EquivariantHead,
    GroupBatchNorm,
    GroupConv,
    LiftingConv,
    axis_matrices,
    kernel_index,
    matrices,
    transform,
)


def act(features, element):
    """Moves fields: the maps are moved, and so is each field's order of channels."""
    table = matrices()
    order = [int((table == table[element].T @ matrix).all(-1).all(-1).nonzero()) for matrix in table]
    fields = transform(features, element).unflatten(1, (-1, 8))
    return fields[:, :, order].flatten(1, 2)


def test_the_eight_elements_differ_and_form_a_group():
    table = matrices()
    assert len({str(matrix.tolist()) for matrix in table}) == 8
    for first in table:
        for second in table:
            assert any(torch.equal(first @ second, matrix) for matrix in table)
    square = torch.arange(9.0).view(3, 3)
    assert len({str(transform(square, element).tolist()) for element in range(8)}) == 8


@pytest.mark.parametrize("element", range(8))
def test_matrices_say_where_transform_moves_a_pixel(element):
    image = torch.zeros(5, 5)
    image[2 + 1, 2 + 2] = 1  # x = 2, y = 1 from the middle
    y, x = (transform(image, element).nonzero()[0] - 2).tolist()
    assert matrices()[element] @ torch.tensor([2.0, 1.0]) == pytest.approx([x, y])


@pytest.mark.parametrize("element", [-1, 8])
def test_other_elements_are_refused(element):
    with pytest.raises(ValueError, match=r"element must lie in 0\.\.7"):
        transform(torch.zeros(3, 3), element)


@pytest.mark.parametrize("side", [1, 2, 3])
def test_every_weight_is_used_in_all_eight_views(side):
    index = kernel_index(side)
    assert index.shape == (8, 8, side, side)
    assert index.flatten().bincount().tolist() == [8] * (8 * side**2)
    assert index[0].flatten().tolist() == list(range(8 * side**2))


@pytest.mark.parametrize("element", range(8))
@pytest.mark.parametrize("side", [1, 2, 3])
def test_group_convolutions_move_with_their_input(side, element):
    torch.manual_seed(0)
    layer = GroupConv(16, 24, side, bias=True)
    torch.nn.init.normal_(layer.bias)
    features = torch.randn(2, 16, 6, 8)
    torch.testing.assert_close(layer(act(features, element)), act(layer(features), element), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("element", range(8))
def test_lifting_turns_images_into_fields(element):
    torch.manual_seed(0)
    layer = LiftingConv(2, 16, stride=4)
    image = torch.randn(1, 2, 24, 32)
    lifted, moved = layer(image), layer(transform(image, element))
    assert lifted.shape == (1, 16, 6, 8)
    torch.testing.assert_close(moved, act(lifted, element), atol=1e-5, rtol=1e-5)
    strided = torch.nn.functional.conv2d(image, layer.weight, stride=4, padding=4)  # the first view of each field
    torch.testing.assert_close(lifted[:, ::8], strided, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("element", range(8))
def test_readouts_give_scalars_vectors_and_axes(element):
    torch.manual_seed(0)
    layer = EquivariantHead(16, scalars=1, vectors=("vector", "axis", "vector"))
    torch.nn.init.ones_(layer.bias)
    features = torch.randn(1, 16, 4, 6)
    maps, moved = layer(features), layer(act(features, element))
    torch.testing.assert_close(moved[:, :1], transform(maps[:, :1], element))
    for first, action in ((1, matrices()), (3, axis_matrices()), (5, matrices())):
        turned = torch.einsum("ij,bjhw->bihw", action[element], maps[:, first : first + 2])
        torch.testing.assert_close(moved[:, first : first + 2], transform(turned, element), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("element", range(8))
def test_axis_matrices_turn_twice_the_angle(element):
    angle = 0.3  # from the y axis, as the yaw
    x, y = (matrices()[element] @ torch.tensor([math.sin(angle), math.cos(angle)])).tolist()
    seen = axis_matrices()[element] @ torch.tensor([math.sin(2 * angle), math.cos(2 * angle)])
    turned = 2 * math.atan2(x, y)
    assert seen.tolist() == pytest.approx([math.sin(turned), math.cos(turned)], abs=1e-6)


def test_batch_norm_normalises_each_channel_of_a_batch():
    layer = GroupBatchNorm(16)
    torch.nn.init.constant_(layer.weight, 2.0)
    torch.nn.init.constant_(layer.bias, 3.0)
    out = layer(torch.randn(64, 16, 8, 8) * 5 + 7)
    torch.testing.assert_close(out.mean((0, 2, 3)), torch.full((16,), 3.0))
    torch.testing.assert_close(out.std((0, 2, 3)), torch.full((16,), 2.0), atol=1e-2, rtol=0)


def test_batch_norm_shares_statistics_within_a_field_after_training():
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
def test_plain_layers_do_the_same(layer, features):
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    torch.testing.assert_close(layer.to_conv()(features), layer(features), atol=1e-5, rtol=1e-5)
