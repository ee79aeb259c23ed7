import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import centerdet
from centerdet import CenterNet, Codec, CodecConfig, Detector, NetworkConfig
from centerdet.detector.calibration import Calibration
from centerdet.model.equivariant import matrices, transform
from tests.helpers import make_detector

SIZES = [(64, 64), (200, 200), (64, 64), (131, 77), (200, 200), (64, 64)]


def test_the_codec_must_be_made_for_the_network():
    network = CenterNet(NetworkConfig(channels=(8,), num_blocks=(1,), stride=2))
    with pytest.raises(ValueError, match="codec stride must be the network's, 2, got 4"):
        Detector(network, Codec())


@pytest.fixture
def detector():
    torch.manual_seed(0)
    network = CenterNet(NetworkConfig(channels=(8, 8), num_blocks=(1, 1)))
    return Detector(network, Codec(config=CodecConfig(size_unit=20)), threshold=0.0, report={"step": 3})


def images(seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return [rng.random(size).astype(dtype) for size in SIZES]


def test_a_detection_is_a_box_and_a_score(detector):
    found = detector(images()[1])
    assert isinstance(found, centerdet.Detection)
    assert isinstance(found.box, centerdet.RotatedBox)
    assert found.box.corners().shape == (4, 2)
    assert 0 <= found.score <= 1
    assert detector.detect(images()[1]) == found


def test_the_score_is_the_calibrated_peak(detector):
    peak = torch.tensor(detector(images()[1]).score, dtype=torch.float64)
    detector.calibration = Calibration(a=0.5, b=2.0, c=0.3)
    assert detector(images()[1]).score == pytest.approx(detector.calibration(peak).item(), rel=1e-4)
    assert detector(images()[1]).score != pytest.approx(peak.item(), rel=1e-2)


def test_below_the_threshold_there_is_nothing(detector):
    detector.threshold = 0.9
    assert detector(images()[0]) is None
    assert detector.detect_batch(images()) == [None] * len(SIZES)


def test_batches_of_mixed_sizes_keep_their_order(detector):
    together = detector.detect_batch(images(), batch_size=2)
    for image, found in zip(images(), together, strict=True):
        alone = detector.detect(image)
        np.testing.assert_allclose(found.box.to_array(), alone.box.to_array(), atol=1e-4)
        assert found.score == pytest.approx(alone.score, abs=1e-6)
    assert detector.detect_batch([]) == []
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        detector.detect_batch(images(), batch_size=-1)
    assert len(detector.detect_batch(np.zeros((3, 64, 64)))) == 3


@pytest.mark.parametrize("element", range(8))
def test_a_turned_or_mirrored_image_shows_the_moved_object(detector, element):
    image = torch.from_numpy(images()[1])
    side = len(image) - 1
    straight, turned = (detector(transform(array, k).numpy()).box for array, k in ((image, 0), (image, element)))
    matrix = matrices()[element].double().numpy()
    center = matrix @ [straight.x - side / 2, straight.y - side / 2] + side / 2
    np.testing.assert_allclose([turned.x, turned.y], center, atol=1e-3)
    has_heading = matrix @ [np.sin(straight.yaw), np.cos(straight.yaw)]
    np.testing.assert_allclose([np.sin(turned.yaw), np.cos(turned.yaw)], has_heading, atol=1e-3)
    np.testing.assert_allclose([turned.width, turned.height], [straight.width, straight.height], atol=1e-3)


def test_the_heatmap_is_aligned_with_the_image(detector, monkeypatch):
    image = np.zeros((90, 131))
    network = CenterNet(NetworkConfig(channels=(8, 8), num_blocks=(1, 1)))
    torch.nn.init.zeros_(network.heads.scalars)
    heatmap = Detector(network, Codec()).heatmap(image)
    assert heatmap.shape == image.shape
    np.testing.assert_allclose(heatmap, 0.01, rtol=1e-4)  # the prior
    logits = torch.full((1, 1, 23, 33), -10.0)
    logits[0, 0, 5, 7] = 10.0
    maps = torch.zeros(1, 2, 23, 33)
    output = centerdet.Prediction(center=logits, size=maps, yaw=maps, offset=maps)
    monkeypatch.setattr(CenterNet, "forward", lambda *_: output)
    heatmap = detector.heatmap(image)
    weights = heatmap - heatmap.min()
    ys, xs = np.mgrid[:90, :131]
    # Cell [5, 7] covers rows 20..23 and columns 28..31.
    assert (weights * ys).sum() / weights.sum() == pytest.approx(21.5, abs=1e-3)
    assert (weights * xs).sum() / weights.sum() == pytest.approx(29.5, abs=1e-3)


def test_a_saved_detector_comes_back_whole(detector, tmp_path):
    path = tmp_path / "weights.safetensors"
    detector.threshold, detector.calibration = 0.005, Calibration(a=0.5, b=2.0, c=0.3)
    detector.save(path)
    loaded = centerdet.load(path)
    assert loaded.threshold == 0.005
    assert loaded.calibration == detector.calibration
    assert loaded.metadata == {"step": 3}
    assert loaded.network.config == detector.network.config
    assert loaded.codec.config == detector.codec.config
    assert loaded.detect_batch(images()) == detector.detect_batch(images())
    assert [file.name for file in tmp_path.iterdir()] == ["weights.safetensors"]
    assert centerdet.load(path, threshold=0.7).threshold == 0.7


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan"), "0.5"])
def test_a_threshold_outside_0_to_1_is_refused(detector, threshold, tmp_path):
    with pytest.raises(ValueError, match=r"threshold must lie in \[0, 1\]"):
        detector.threshold = threshold
    detector.save(tmp_path / "w")
    with pytest.raises(ValueError, match=r"threshold must lie in \[0, 1\]"):
        centerdet.load(tmp_path / "w", threshold=threshold)


def test_a_device_that_is_not_there_is_refused(detector, tmp_path):
    assert detector.to("cpu") is detector
    detector.save(tmp_path / "weights")
    for device in ("abacus", "cuda:99"):
        with pytest.raises(ValueError, match=f"cannot use device '{device}'"):
            centerdet.load(tmp_path / "weights", device=device)


def test_a_bad_image_is_named(detector):
    with pytest.raises(ValueError, match="image 1: .*NaN"):
        detector.detect_batch([np.zeros((64, 64)), np.full((64, 64), np.nan)])
    with pytest.raises(ValueError, match="2 dimensions"):
        detector.heatmap(np.zeros((64, 64, 3)))


def metadata(**changes):
    detector = {"widths": [8], "blocks": [1]}
    facts = {"network": detector, "codec": {}, "threshold": 0.5, "calibration": {}, "report": {}, **changes}
    return {"format": "centerdet weights 2"} | {key: json.dumps(value) for key, value in facts.items()}


def parameters(**config):
    return CenterNet(NetworkConfig(**{"widths": (8,), "blocks": (1,), **config})).state_dict()


@pytest.mark.parametrize(
    ("tensors", "header", "message"),
    [
        (parameters(), None, "its format is"),
        (parameters(), {**metadata(), "format": "centerdet weights 0"}, "its format is"),
        (parameters(channels=(16,)), metadata(), "size mismatch"),
        (parameters(channels=(8, 8), num_blocks=(1, 1)), metadata(), "Unexpected key"),
        ({"x": torch.zeros(1)}, metadata(), "Missing key"),
        (parameters(), metadata(network={"wdths": [8]}), "wdths"),
        (parameters(), metadata(network={"widths": "many", "blocks": [1]}), "many"),
        (parameters(), metadata(network=[1]), ""),
        (parameters(), metadata(network=None), ""),
        (parameters(), metadata(codec="x"), ""),
        (parameters(), metadata(codec={"window": 3.0}), "window must be a whole number"),
        (parameters(), metadata(codec={"size_unit": float("nan")}), "size_unit"),
        (parameters(), metadata(report=5), "report an object"),
        (parameters() | {"heads.bias": torch.tensor([float("nan")])}, metadata(), "heads.bias holds NaN"),
        (parameters() | {"heads.bias": torch.tensor([1])}, metadata(), "heads.bias is torch.int64"),
        (parameters(), metadata(threshold=2), "threshold must lie"),
        (parameters(), metadata(calibration={"a": -1}), "a calibration needs"),
        (parameters(), metadata(calibration=None), ""),
        (parameters(), metadata(threshold="high"), "threshold must lie"),
        (parameters(), {**metadata(), "network": "{"}, ""),
        (parameters(), {key: value for key, value in metadata().items() if key != "codec"}, "codec"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tensors, header, message, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(tensors, path, header)
    with pytest.raises(ValueError, match=f"cannot load weights .*weights.safetensors.*{message}"):
        centerdet.load(path)


def test_files_that_are_no_weights_are_refused(detector, tmp_path):
    with pytest.raises(ValueError, match="there is no such file"):
        centerdet.load(tmp_path / "missing")
    with pytest.raises(ValueError, match="cannot load weights"):
        centerdet.load(tmp_path)
    detector.save(tmp_path / "whole")
    content = (tmp_path / "whole").read_bytes()
    for damaged in (b"", content[:100], content[:-1], b"\x80\x04" + content, b"hello" * 100):
        (tmp_path / "damaged").write_bytes(damaged)
        with pytest.raises(ValueError, match="not a whole safetensors file"):
            centerdet.load(tmp_path / "damaged")


def test_a_failed_save_leaves_the_old_file(detector, tmp_path, monkeypatch):
    path = tmp_path / "weights"
    detector.save(path)
    before = path.read_bytes()
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        detector.save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["weights"]


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def test_a_cpu_takes_few_images_at_once_with_the_same_answers(threads, monkeypatch):
    detector, images = centerdet.load(), [image for image, _ in centerdet.benchmark_scenes(5, 12)]
    found = [detector(image) for image in images]
    seen = []
    detector._fused.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    for pixels, counts in ((200_000, [4, 4, 4]), (1, [1] * 12)):
        monkeypatch.setattr("centerdet.detector.CPU_VALUES", pixels * detector.network.config.channels[0])
        seen.clear()
        for one, other in zip(detector.detect_batch(images), found, strict=True):
            assert (one is None) == (other is None)
            assert one is None or one.box.to_array() == pytest.approx(other.box.to_array(), abs=1e-3)
        assert sorted(seen) == sorted(counts)


def test_an_autocast_holds_in_whatever_thread(threads):
    detector = make_detector()
    images = np.random.default_rng(0).random((16, 200, 200)).astype(np.float32)
    exact = detector.candidates(images, 1)[0]
    with torch.autocast("cpu", torch.bfloat16):
        rounded = detector.candidates(images, 1)[0]
        alone = np.concatenate([detector.candidates(image[None], 1)[0] for image in images])
    assert abs(rounded - exact).max() > 1e-3
    np.testing.assert_allclose(rounded, alone, atol=0.5)


def test_a_detector_that_is_told_the_noise_level_sees_it():
    """All that it knows of the background is in the evidence: the same evidence, the same maps."""
    told = make_detector(noise_level=0.8).with_noise_level(0.4)
    image = np.random.default_rng(0).uniform(0, 0.4, (64, 80)).astype(np.float32)
    brighter = make_detector(noise_level=0.8)
    np.testing.assert_allclose(told.heatmap(image), brighter.heatmap(2 * image), atol=1e-5)
    assert abs(told.heatmap(image) - brighter.heatmap(image)).max() > 1e-3
    assert told.network.config.noise_level == 0.4
    assert brighter.network.config.noise_level == 0.8


def test_what_is_told_goes_into_the_weights_file_and_the_refinement(tmp_path):
    told = centerdet.load().with_noise_level(0.7)
    told.save(tmp_path / "told.safetensors")
    loaded = centerdet.load(tmp_path / "told.safetensors")
    assert loaded.network.config.noise_level == loaded.refinement.scene.noise_level == 0.7
    assert told.with_noise_level(1.0).refinement is None


def test_a_noise_level_is_refused_where_it_means_nothing():
    with pytest.raises(ValueError, match="know no noise level"):
        make_detector(noise_level=None).with_noise_level(0.5)
    with pytest.raises(ValueError, match=r"noise_level must lie in \(0, 1\]"):
        make_detector().with_noise_level(1.5)
