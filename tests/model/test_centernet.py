import math

import pytest
import torch

from centerdet import CenterNet, NetworkConfig
from centerdet.model.centernet import ResidualBlock, fuse
from centerdet.model.dihedral import matrices, transform
from centerdet.model.equivariant import GroupBatchNorm

SMALL = NetworkConfig(channels=(8, 16), num_blocks=(1, 1))


def as_if_trained(network):
    """The network with weights and statistics that are not 0 and differ between channels."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, GroupBatchNorm):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -1, 1)
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
    torch.nn.init.normal_(network.heads.vectors, std=0.3)
    return network.eval()


def test_a_level_of_the_encoder_may_have_no_blocks():
    network = CenterNet(NetworkConfig(channels=(8, 16, 16), num_blocks=(0, 1, 0))).eval()
    images = torch.rand(2, 1, 64, 80)
    prediction, fused = network(images), fuse(network)(images)
    assert prediction.center.shape == (2, 1, 16, 20)
    for expected, part in zip(prediction, fused, strict=True):
        torch.testing.assert_close(part, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (200, 200), (65, 131), (97, 64)])
@pytest.mark.parametrize("stride", [1, 2, 4])
def test_map_sizes_are_image_sizes_over_the_stride_rounded_up(height, width, stride):
    config = NetworkConfig(channels=(8, 16), num_blocks=(1, 1), stride=stride)
    prediction = CenterNet(config).eval()(torch.rand(2, 1, height, width))
    cells = (math.ceil(height / stride), math.ceil(width / stride))
    assert [tuple(part.shape) for part in prediction] == [(2, channels, *cells) for channels in (1, 2, 2, 2)]


@pytest.mark.parametrize("heatmap_prior", [0.01, 0.1])
def test_the_heatmap_of_an_untrained_network_is_near_its_prior(heatmap_prior):
    torch.manual_seed(0)
    network = CenterNet(NetworkConfig(heatmap_prior=heatmap_prior)).eval()
    with torch.inference_mode():
        heatmap = network(torch.rand(4, 1, 200, 200)).center.sigmoid()
    assert heatmap.mean().item() == pytest.approx(heatmap_prior, rel=0.2)
    assert heatmap.max() < 3 * heatmap_prior


def test_the_default_network_has_less_than_a_million_parameters():
    assert sum(parameter.numel() for parameter in CenterNet().parameters()) < 1_000_000


def test_residual_blocks_add_two_convolutions_to_their_input():
    torch.manual_seed(0)
    block = ResidualBlock(16).eval()
    features = torch.randn(1, 16, 6, 6)
    torch.testing.assert_close(block(features), features.relu())  # untrained: the identity
    torch.nn.init.ones_(block.second[1].weight)
    first = block.first[0](features).div(1 + 1e-5).relu()
    expected = features + block.second[0](first).div((1 + 1e-5) ** 0.5)
    torch.testing.assert_close(block(features), expected.relu(), atol=1e-3, rtol=1e-3)


def test_an_image_has_the_same_maps_alone_and_in_a_batch():
    network = CenterNet(SMALL).eval()
    images = torch.rand(5, 1, 96, 80)
    with torch.inference_mode():
        together, alone = network(images), network(images[3:4])
    for part, single in zip(together, alone, strict=True):
        torch.testing.assert_close(part[3:4], single, atol=1e-5, rtol=1e-5)


def test_padding_inside_is_neutral_between_object_and_background():
    network = CenterNet(SMALL).eval()
    image = torch.rand(1, 1, 92, 70)  # 23 by 18 cells; the second level needs an even number
    neutral = torch.nn.functional.pad(image, (0, 2, 0, 4), value=0.4)  # half the noise level: a log ratio of 0
    with torch.inference_mode():
        inside, outside = network(image), network(neutral)
    for part, padded in zip(inside, outside, strict=True):
        torch.testing.assert_close(part, padded[:, :, :23, :18], atol=1e-6, rtol=0)


def test_maps_move_with_the_image():
    torch.manual_seed(0)
    network = CenterNet(SMALL).eval()
    image = torch.full((1, 1, 192, 192), 0.4)
    image[:, :, 80:112, 80:112] = torch.rand(32, 32)
    with torch.inference_mode():
        center, moved = network(image).center, network(image.roll((16, 8), (2, 3))).center
    expected = center.roll((4, 2), (2, 3))
    torch.testing.assert_close(moved[..., 8:-8, 8:-8], expected[..., 8:-8, 8:-8], atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(72, 104), (96, 64)])  # 18 by 26 cells: padded on both sides
@pytest.mark.parametrize("element", range(8))
def test_the_network_is_equivariant_to_flips_and_quarter_turns(element, size):
    network = as_if_trained(CenterNet(NetworkConfig(channels=(8, 16, 16), num_blocks=(1, 1, 1))))
    image = torch.rand(1, 1, *size)
    with torch.inference_mode():
        straight, turned = network(image), network(transform(image, element))
    expected = straight._replace(
        yaw=torch.einsum("ij,bjhw->bihw", matrices()[element], straight.yaw),
        offset=torch.einsum("ij,bjhw->bihw", matrices()[element], straight.offset),
    )
    assert straight.yaw.abs().max() > 0.05
    for part, moved in zip(turned, expected, strict=True):
        torch.testing.assert_close(part, transform(moved, element), atol=1e-4, rtol=1e-4)


def test_fused_networks_compute_the_same():
    network = as_if_trained(CenterNet(SMALL)).train()
    fused = fuse(network)
    kinds = {type(module) for module in fused.modules() if not list(module.children())}
    assert kinds == {torch.nn.Conv2d, torch.nn.ReLU, torch.nn.Identity}
    assert network.training
    images = torch.rand(2, 1, 80, 64)
    with torch.inference_mode():
        for part, expected in zip(fused(images), network.eval()(images), strict=True):
            torch.testing.assert_close(part, expected, atol=1e-4, rtol=1e-4)


def test_the_input_is_the_log_likelihood_ratio_below_the_noise_level():
    network = CenterNet(NetworkConfig(channels=(8,), num_blocks=(1,), noise_level=0.8))
    above, ratio = network.encode_images(torch.tensor([0.0, 0.2, 0.4, 0.8, 0.81, 1.0]).view(1, 1, 1, -1))[0, :, 0]
    assert above.tolist() == [0, 0, 0, 0, 1, 1]
    expected = [-1.5, 0.5 * math.log(0.5), 0, 0.5 * math.log(2), 0, 0]
    assert ratio.tolist() == pytest.approx(expected, abs=1e-6)


def test_without_a_noise_level_the_input_is_the_image():
    network = CenterNet(NetworkConfig(channels=(8,), num_blocks=(1,), noise_level=None))
    image = torch.rand(1, 1, 64, 64)
    assert network.encode_images(image) is image
    assert network.eval()(image).center.shape == (1, 1, 16, 16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stride": 3}, "stride must be 1, 2, 4 or 8, got 3"),
        ({"channels": ()}, "one number per level"),
        ({"channels": (8, 8), "num_blocks": (1,)}, "one number per level"),
        ({"channels": (0, 8), "num_blocks": (1, 1)}, "channels must be multiples of 8"),
        ({"channels": (8, 12), "num_blocks": (1, 1)}, "channels must be multiples of 8"),
        ({"channels": (8, 8), "num_blocks": (1, -1)}, "num_blocks must lie in 0..64"),
        ({"heatmap_prior": 0.0}, "heatmap_prior must lie in"),
        ({"heatmap_prior": 1.0}, "heatmap_prior must lie in"),
        ({"noise_level": 0.0}, "noise_level must lie in"),
    ],
)
def test_settings_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        NetworkConfig(**arguments)
