import numpy as np
import pytest
import torch

from centerdet import CenterNet, Codec, NetworkConfig
from centerdet.maps import Prediction
from centerdet.views import VIEWS, predict_views, view_back, view_image


def truth_of(image_size, box):
    target = Codec().encode(torch.tensor([box]), torch.tensor([True]), image_size)
    heatmap = target.heatmap.clamp(1e-6, 1 - 1e-6)
    return Prediction(center=heatmap.logit(), size=target.size, yaw=target.yaw, offset=target.offset)


def moved(box, view, height, width):
    """The box in a view, from the definition of the heading: it points to (sin yaw, cos yaw)."""
    x, y, yaw, across, along = box
    heading = [np.sin(yaw), np.cos(yaw)]
    if view[0]:
        x, heading[0] = width - 1 - x, -heading[0]
    if view[1]:
        y, heading[1] = height - 1 - y, -heading[1]
    if view[2]:
        x, y, heading = y, x, heading[::-1]
    return [x, y, float(np.arctan2(*heading)), across, along]


@pytest.mark.parametrize("view", VIEWS)
def test_what_is_true_of_a_view_is_true_of_the_image(view):
    height, width, box = 96, 128, [50.25, 40.5, 1.1, 20.0, 32.0]
    size = (width, height) if view[2] else (height, width)
    back = view_back(truth_of(size, moved(box, view, height, width)), view)
    for part, expected in zip(back, truth_of((height, width), box), strict=True):
        torch.testing.assert_close(part, expected, atol=1e-4, rtol=1e-4)


def test_the_views_differ_from_each_other():
    image = torch.arange(12.0).view(1, 1, 3, 4)
    assert len({str(view_image(image, view).tolist()) for view in VIEWS}) == 8


@pytest.mark.parametrize("size", [(64, 96), (65, 71)])
def test_all_views_together_turn_with_the_image(size):
    torch.manual_seed(0)
    network = CenterNet(NetworkConfig(widths=(8,), blocks=(1,))).eval()
    images = torch.rand(2, 1, *size)
    with torch.inference_mode():
        straight = predict_views(network, images, views=8, stride=4)
        assert straight.center.shape == (2, 1, -(-size[0] // 4), -(-size[1] // 4))
        if size[0] % 4 == size[1] % 4 == 0:
            for view in VIEWS:
                turned = predict_views(network, view_image(images, view), views=8, stride=4)
                for part, expected in zip(view_back(turned, view), straight, strict=True):
                    torch.testing.assert_close(part, expected, atol=1e-5, rtol=1e-5)


def test_one_view_is_the_network_itself():
    network = CenterNet(NetworkConfig(widths=(8,), blocks=(1,))).eval()
    image = torch.rand(1, 1, 65, 64)
    with torch.inference_mode():
        for part, expected in zip(predict_views(network, image, views=1, stride=4), network(image), strict=True):
            assert torch.equal(part, expected)
