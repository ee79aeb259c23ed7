import numpy as np
import pytest
import torch

import centerdet
from centerdet.detector.inference import InferenceNetwork
from tests.helpers import make_detector


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def test_small_batches_on_a_cpu_give_the_same_detections(threads, monkeypatch):
    detector, images = centerdet.load(), [image for image, _ in centerdet.benchmark_scenes(5, 12)]
    alone = [detector(image) for image in images]
    sizes, module = [], detector._inference.module
    predict_maps = module.predict_maps
    monkeypatch.setattr(module, "predict_maps", lambda inputs: (sizes.append(len(inputs)), predict_maps(inputs))[1])
    for pixels, counts in ((120_000, [3, 3, 3, 3]), (1, [1] * 12)):
        limit = pixels * detector.network.config.channels[0]
        monkeypatch.setattr("centerdet.detector.inference.MAX_CPU_VALUES", limit)
        sizes.clear()
        for one, other in zip(detector.detect_batch(images), alone, strict=True):
            assert (one is None) == (other is None)
            assert one is None or one.box.to_array() == pytest.approx(other.box.to_array(), abs=1e-3)
        assert sorted(sizes) == sorted(counts)


def test_maps_are_those_of_the_network():
    network = make_detector().network
    images = np.random.default_rng(0).random((2, 64, 80)).astype(np.float32)
    with torch.inference_mode():
        (ratios, maps), pixels = InferenceNetwork(network)(images), torch.from_numpy(images)[:, None]
        wanted = network(pixels)
    torch.testing.assert_close(ratios, network.encode_images(pixels))
    for one, other in zip(maps, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_the_network_is_a_copy():
    network = make_detector().network
    inference = InferenceNetwork(network)
    assert inference.device == torch.device("cpu")
    assert not any(parameter.requires_grad for parameter in inference.module.parameters())
    names = [name for name, module in network.named_modules() if isinstance(module, torch.nn.Identity)]
    assert names == []  # folding left the original alone
