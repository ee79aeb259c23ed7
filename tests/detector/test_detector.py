import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

import centerdet
from centerdet import CenterNet, Codec, CodecConfig, Detector, NetworkConfig, RefinementConfig, ScenePrior
from centerdet.detector.calibration import Calibration
from centerdet.detector.detector import make_codec
from centerdet.model.dihedral import matrices, transform
from centerdet.refine import search
from tests.helpers import make_detector

SIZES = [(64, 64), (200, 200), (64, 64), (131, 77), (200, 200), (64, 64)]


@pytest.fixture
def detector():
    torch.manual_seed(0)
    network = CenterNet(NetworkConfig(channels=(8, 8), num_blocks=(1, 1)))
    return Detector(network, Codec(config=CodecConfig(size_unit=20)), threshold=0.0, metadata={"step": 3})


def make_images(seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return [rng.random(size).astype(dtype) for size in SIZES]


def test_codec_must_fit_the_network():
    network = CenterNet(NetworkConfig(channels=(8,), num_blocks=(1,), stride=2))
    with pytest.raises(ValueError, match=r"codec stride must be the network's, 2, got 4; use make_codec\(network\)"):
        Detector(network, Codec())
    with pytest.raises(ValueError, match="codec has_heading must be the network's, True, got False"):
        Detector(network, Codec(stride=2, has_heading=False))


def test_make_codec_fits_the_network():
    network = CenterNet(NetworkConfig(channels=(8,), num_blocks=(1,), stride=2, has_heading=False))
    codec = make_codec(network, CodecConfig(size_unit=20))
    assert (codec.stride, codec.has_heading, codec.config.size_unit) == (2, False, 20)
    assert Detector(network, make_codec(network)).has_heading is False


def test_a_detection_has_a_box_and_a_score(detector):
    detection = detector(make_images()[1])
    assert isinstance(detection, centerdet.Detection)
    assert isinstance(detection.box, centerdet.RotatedBox)
    assert detection.box.corners().shape == (4, 2)
    assert 0 <= detection.score <= 1
    assert detector.detect(make_images()[1]) == detection


def test_the_score_is_the_calibrated_peak(detector):
    peak = torch.tensor(detector(make_images()[1]).score, dtype=torch.float64)
    detector.calibration = Calibration(a=0.5, b=2.0, c=0.3)
    assert detector(make_images()[1]).score == pytest.approx(detector.calibration(peak).item(), rel=1e-4)
    assert detector(make_images()[1]).score != pytest.approx(peak.item(), rel=1e-2)


def test_nothing_is_reported_below_the_threshold(detector):
    detector.threshold = 0.9
    assert detector(make_images()[0]) is None
    assert detector.detect_batch(make_images()) == [None] * len(SIZES)


def test_batches_of_mixed_sizes_give_the_detections_of_single_images(detector):
    together = detector.detect_batch(make_images(), batch_size=2)
    for image, detection in zip(make_images(), together, strict=True):
        alone = detector.detect(image)
        np.testing.assert_allclose(detection.box.to_array(), alone.box.to_array(), atol=1e-4)
        assert detection.score == pytest.approx(alone.score, abs=1e-6)
    assert detector.detect_batch([]) == []
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        detector.detect_batch(make_images(), batch_size=-1)
    assert len(detector.detect_batch(np.zeros((3, 64, 64)))) == 3


@pytest.mark.parametrize("element", range(8))
def test_boxes_turn_and_flip_with_the_image(detector, element):
    image = torch.from_numpy(make_images()[1])
    side = len(image) - 1
    original, moved = (detector(transform(array, k).numpy()).box for array, k in ((image, 0), (image, element)))
    matrix = matrices()[element].double().numpy()
    center = matrix @ [original.x - side / 2, original.y - side / 2] + side / 2
    np.testing.assert_allclose([moved.x, moved.y], center, atol=1e-3)
    heading = matrix @ [np.sin(original.yaw), np.cos(original.yaw)]
    np.testing.assert_allclose([np.sin(moved.yaw), np.cos(moved.yaw)], heading, atol=1e-3)
    np.testing.assert_allclose([moved.width, moved.height], [original.width, original.height], atol=1e-3)


def test_the_heatmap_is_aligned_with_the_image(detector, monkeypatch):
    image = np.zeros((90, 131))
    network = CenterNet(NetworkConfig(channels=(8, 8), num_blocks=(1, 1)))
    torch.nn.init.zeros_(network.heads.scalars)
    heatmap = Detector(network, Codec()).heatmap(image)
    assert heatmap.shape == image.shape
    np.testing.assert_allclose(heatmap, 0.01, rtol=1e-4)  # heatmap_prior
    logits = torch.full((1, 1, 23, 33), -10.0)
    logits[0, 0, 5, 7] = 10.0
    maps = torch.zeros(1, 2, 23, 33)
    output = centerdet.Prediction(center=logits, size=maps, yaw=maps, offset=maps)
    monkeypatch.setattr(CenterNet, "predict_maps", lambda *_: output)
    heatmap = detector.heatmap(image)
    weights = heatmap - heatmap.min()
    ys, xs = np.mgrid[:90, :131]
    # Cell [5, 7] covers rows 20..23 and columns 28..31.
    assert (weights * ys).sum() / weights.sum() == pytest.approx(21.5, abs=1e-3)
    assert (weights * xs).sum() / weights.sum() == pytest.approx(29.5, abs=1e-3)


def test_an_image_of_the_wrong_shape_has_no_heatmap(detector):
    with pytest.raises(ValueError, match="2 dimensions"):
        detector.heatmap(np.zeros((64, 64, 3)))


def test_the_first_candidate_is_the_detection(detector):
    images = np.stack([make_images()[1], make_images(1)[1]])
    boxes, scores = detector.candidates(images, 3)
    assert (boxes.shape, scores.shape) == ((2, 3, 5), (2, 3))
    assert (np.diff(scores) <= 0).all()
    for box, detection in zip(boxes[:, 0], detector.detect_batch(images), strict=True):
        np.testing.assert_array_equal(box, detection.box.to_array())
    one, _ = detector.candidates(images, 1)
    np.testing.assert_array_equal(one, boxes[:, :1])


def test_moving_to_a_device_returns_the_detector(detector):
    assert detector.to("cpu") is detector
    with pytest.raises(ValueError, match="cannot use device 'abacus'"):
        detector.to("abacus")


def test_several_threads_detect_at_once_on_a_cpu_alone():
    detector = make_detector()
    assert detector.thread_safe
    detector._inference.to("meta")  # stands for a GPU
    assert not detector.thread_safe


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def test_autocast_reaches_every_thread(threads):
    detector = make_detector()
    images = np.random.default_rng(0).random((16, 200, 200)).astype(np.float32)
    exact = detector.candidates(images, 1)[0]
    with torch.autocast("cpu", torch.bfloat16):
        rounded = detector.candidates(images, 1)[0]
        alone = np.concatenate([detector.candidates(image[None], 1)[0] for image in images])
    assert abs(rounded - exact).max() > 1e-3
    np.testing.assert_allclose(rounded, alone, atol=0.5)


def test_another_noise_level_scales_the_background():
    """The network sees only the log-likelihood ratio: the same ratio gives the same maps."""
    changed = make_detector(noise_level=0.8).with_noise_level(0.4)
    image = np.random.default_rng(0).uniform(0, 0.4, (64, 80)).astype(np.float32)
    original = make_detector(noise_level=0.8)
    np.testing.assert_allclose(changed.heatmap(image), original.heatmap(2 * image), atol=1e-5)
    assert abs(changed.heatmap(image) - original.heatmap(image)).max() > 1e-3
    assert changed.network.config.noise_level == 0.4
    assert original.network.config.noise_level == 0.8


def test_another_noise_level_keeps_the_other_settings():
    detector = make_detector()
    detector.calibration, detector.intensity_range = Calibration(c=0.5), (0.0, 2.0)
    changed = detector.with_noise_level(0.4)
    for name in ("threshold", "calibration", "intensity_range", "has_heading"):
        assert getattr(changed, name) == getattr(detector, name)
    assert changed.codec.config == detector.codec.config
    assert changed.metadata == {"changed_noise_level": 0.4, "original_metadata": detector.metadata}


def test_another_noise_level_reaches_the_refinement_and_the_weights_file(tmp_path):
    changed = centerdet.load().with_noise_level(0.7)
    changed.save(tmp_path / "changed.safetensors")
    loaded = centerdet.load(tmp_path / "changed.safetensors")
    assert loaded.network.config.noise_level == loaded.refinement.scene.noise_level == 0.7
    assert changed.with_noise_level(1.0).refinement is None


def test_a_useless_noise_level_is_refused():
    with pytest.raises(ValueError, match="have no noise level"):
        make_detector(noise_level=None).with_noise_level(0.5)
    with pytest.raises(ValueError, match=r"noise_level must lie in \(0, 1\]"):
        make_detector().with_noise_level(1.5)


@pytest.fixture
def built(monkeypatch):
    """The scenes for which refiners were built; these find nothing but lines in any image."""
    scenes = []

    class CountedRefiner:
        def __init__(self, scene):
            scenes.append(scene)

        def refine_batch(self, images, guesses, *, threads, noise_levels):
            return [None] * len(images)

    monkeypatch.setattr(search, "Refiner", CountedRefiner)
    return scenes


def test_refinement_is_built_once(detector, built):
    scene = ScenePrior()
    detector.refinement = RefinementConfig(scene=scene, threshold=0.0)
    for _ in range(3):
        assert detector.detect(make_images()[1], refine=True).score < 1e-5
        detector.detect_batch(make_images(), refine=True)
    detector.with_refinement()
    assert built == [scene]


def test_refinement_follows_its_settings(detector, built):
    image = make_images()[1]
    detector.refinement = RefinementConfig(threshold=0.0)
    low = detector.detect(image, refine=True).score
    detector.refinement = replace(detector.refinement, calibration=Calibration(c=20.0))
    assert detector.detect(image, refine=True).score > low
    detector.refinement = replace(detector.refinement, threshold=1.0)
    assert detector.detect(image, refine=True) is None
    assert len(built) == 1
    detector.refinement = RefinementConfig(scene=ScenePrior(num_lines=3))
    detector.detect(image, refine=True)
    assert [scene.num_lines for scene in built] == [6, 3]
    detector.refinement = None
    with pytest.raises(ValueError, match=r"has no refinement.*set detector.refinement = RefinementConfig\("):
        detector.detect(image, refine=True)


def test_changes_of_a_refined_detector_stay_its_own(detector, built):
    detector.refinement = RefinementConfig(threshold=0.25)
    detector.with_refinement().threshold = 0.75
    assert detector.with_refinement().threshold == 0.25


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda detector: pickle.loads(pickle.dumps(detector))])
def test_copies_detect_and_refine_alike(copied):
    detector, images = centerdet.load("fast"), [image for image, _ in centerdet.benchmark_scenes(5, 3)]
    refined = detector.detect_batch(images, refine=True)
    assert any(refined)
    twin = copied(detector)
    assert twin.detect_batch(images) == detector.detect_batch(images)
    assert twin.detect_batch(images, refine=True) == refined
    assert twin.with_refinement()._refiner is not detector.with_refinement()._refiner


def test_pickles_do_not_hold_the_refiner(detector):
    size = len(pickle.dumps(detector))
    detector.refinement = RefinementConfig()
    detector.with_refinement()
    assert len(pickle.dumps(detector)) < size + 10_000  # bytes; a refiner has five million
