"""An exported model gives the detector's results without torch, and its errors name what is wrong."""

import copy
import json
import pickle
import random
import re
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from centerdet.export.model_digest import add_digest
from centerdet.export.runtime import OnnxDetector
from centerdet.model.dihedral import transform
from tests.helpers import ROOT, assert_same_boxes, make_noise, save_model


@pytest.mark.parametrize("count", [1, 2, 5, 7])
def test_detections_are_those_of_the_detector(detector, model, count):
    images = make_noise(count)
    detections = model.detect_batch(images, batch_size=count)
    assert_same_boxes(detections, detector.detect_batch(images))
    assert model(images[0]) == model.detect(images[0])
    assert_same_boxes([model(images[0])], detections[:1])


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_number_of_threads_does_not_change_detections(exported, model, threads):
    images = make_noise(8)
    detections = OnnxDetector(exported[1], threads=threads).detect_batch(images)
    assert_same_boxes(detections, model.detect_batch(images, batch_size=1))
    assert len({detection.score for detection in detections}) == len(images)  # so a wrong order would show


@pytest.mark.parametrize("threads", [0, -1, 1025, 10**30])
def test_impossible_numbers_of_threads_are_refused(exported, threads):
    with pytest.raises(ValueError, match=f"threads must be at least 1, and at most 1024, got {threads}"):
        OnnxDetector(exported[1], threads=threads)


def test_headings_are_right_in_every_quadrant(detector, model):
    image = torch.from_numpy(make_noise(1)[0])
    images = [transform(image, element).numpy() for element in range(8)]
    detections = model.detect_batch(images)
    assert {int(detection.box.yaw // (np.pi / 2)) for detection in detections} == {-2, -1, 0, 1}
    assert_same_boxes(detections, detector.detect_batch(images))


def test_the_heatmap_is_that_of_the_detector(detector, model):
    (image,) = make_noise(1)
    heatmap = model.heatmap(image)
    assert (heatmap.shape, heatmap.dtype) == (image.shape, np.float32)
    assert np.ptp(heatmap) > 0.1
    np.testing.assert_allclose(heatmap, detector.heatmap(image), atol=1e-4)


def test_the_threshold_is_that_of_the_detector_and_can_be_changed(detector, model):
    assert model.threshold == detector.threshold == 0.2
    assert model.metadata == detector.metadata
    assert (model.intensity_range, model.has_heading) == (None, True)
    model.threshold = 1
    assert model.detect_batch(make_noise(2)) == [None, None]
    with pytest.raises(ValueError, match=r"threshold must lie in \[0, 1\], got 1.5"):
        model.threshold = 1.5


@pytest.mark.parametrize(
    "image", [np.zeros((200, 200, 3)), np.full((200, 200), np.nan), np.zeros((200, 200), int), np.zeros((63, 200))]
)
def test_invalid_images_are_refused_as_by_the_detector(detector, model, image):
    for call in ("__call__", "heatmap"):
        with pytest.raises(ValueError, match="image") as wanted:
            getattr(detector, call)(image)
        with pytest.raises(ValueError, match=f"^{re.escape(str(wanted.value))}$"):
            getattr(model, call)(image)


@pytest.mark.parametrize("shape", [(64, 64), (90, 131), (333, 70)])
def test_images_of_every_size_give_the_results_of_the_detector(detector, model, shape):
    images = make_noise(2, shape)
    assert_same_boxes(model.detect_batch(images), detector.detect_batch(images))
    np.testing.assert_allclose(model.heatmap(images[0]), detector.heatmap(images[0]), atol=1e-4)


def test_images_above_the_largest_size_are_refused(model):
    with pytest.raises(ValueError, match=r"image 1: an exported model takes at most 10,000 px a side, got \(64, 10001"):
        model.detect_batch([np.zeros((64, 64)), np.zeros((64, 10_001))])


def test_numpy_and_onnxruntime_are_all_it_needs(exported, model):
    code = f"""if True:
        import sys
        for name in ("torch", "onnx", "onnxscript", "safetensors", "shapely", "skimage", "scipy", "cv2", "matplotlib"):
            sys.modules[name] = None  # importing it is an error
        import numpy as np
        from centerdet.export import OnnxDetector
        model = OnnxDetector({str(exported[1])!r})
        image = np.random.default_rng(1).random((1, 200, 200))[0]
        print(model(image).box.to_array().tolist(), model(image).box.corners().shape, model.heatmap(image).shape)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    detection = model(make_noise(1)[0])
    assert (done.stderr, done.stdout) == ("", f"{detection.box.to_array().tolist()} (4, 2) (200, 200)\n")


def test_a_missing_onnxruntime_is_named_with_the_remedy(exported, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"needs onnxruntime: pip install '\.\[export\]'"):
        OnnxDetector(exported[1])


def test_files_that_are_no_models_are_refused(exported, tmp_path):
    with pytest.raises(ValueError, match="cannot load model .*missing.onnx: there is no such file"):
        OnnxDetector(tmp_path / "missing.onnx")
    with pytest.raises(ValueError, match="cannot load model .*it is a folder"):
        OnnxDetector(tmp_path)
    content = exported[1].read_bytes()
    for damaged in (b"", content[:100], content[:-1], b"hello" * 100, content[1000:]):
        (tmp_path / "damaged.onnx").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"cannot load model .*damaged.onnx: .*give a file that centerdet export"):
            OnnxDetector(tmp_path / "damaged.onnx")


def flip_bit(content, place):
    damaged = bytearray(content)
    damaged[place // 8] ^= 1 << place % 8
    return bytes(damaged)


def test_a_flipped_bit_anywhere_is_noticed_before_anything_runs(exported, tmp_path, monkeypatch):
    content = exported[1].read_bytes()
    weights = onnx.load(exported[1]).graph.initializer
    parts = (max((one.raw_data for one in weights), key=len), b"0.2", b"centerdet onnx", b"digest")
    places = [0, 8 * len(content) - 1, *(8 * content.rindex(part) for part in parts)]
    places += [random.Random(seed).randrange(8 * len(content)) for seed in range(50)]
    monkeypatch.setattr(onnxruntime, "InferenceSession", None)
    for place in places:
        (tmp_path / "damaged.onnx").write_bytes(flip_bit(content, place))
        with pytest.raises(ValueError, match="damaged.onnx: its digest does not fit its content|it has no digest"):
            OnnxDetector(tmp_path / "damaged.onnx")


def test_a_model_without_a_digest_is_refused(exported, tmp_path):
    model = onnx.load(exported[1])
    kept = [entry for entry in model.metadata_props if entry.key != "digest"]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    onnx.save(model, tmp_path / "old.onnx")
    with pytest.raises(ValueError, match="not a complete centerdet model of this version: it has no digest;"):
        OnnxDetector(tmp_path / "old.onnx")


def test_nothing_is_printed_about_a_damaged_model(exported, tmp_path, capfd):
    damaged = exported[1].read_bytes().replace(b"Sigmoid", b"Sig\xc5oid")
    (tmp_path / "damaged.onnx").write_bytes(add_digest(damaged))
    with pytest.raises(ValueError, match=r"damaged.onnx: .*; give a file"):
        OnnxDetector(tmp_path / "damaged.onnx")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": None}, "not a 'centerdet onnx 5' file"),
        ({"format": "centerdet onnx 4"}, "not a 'centerdet onnx 5' file"),
        ({"threshold": None}, "its metadata have no .threshold."),
        ({"threshold": "true"}, "threshold must be a number, got true"),
        ({"threshold": "1e999"}, "threshold must lie"),
        ({"intensity_range": "[1]"}, "intensity_range must be two increasing numbers"),
        ({"metadata": "[" * 600 + "]" * 600}, "metadata must be an object"),
        ({"metadata": "[" * 100_000}, ""),
        ({"has_heading": "1"}, "has_heading must be true or false, got 1"),
        ({"threshold": "2"}, r"threshold must lie in \[0, 1\], got 2"),
        ({"threshold": "{"}, ""),
        ({"metadata": "3"}, "metadata must be an object, got 3"),
        ({"intensity_range": "[2, 1]"}, "intensity_range must be two increasing numbers"),
    ],
)
def test_models_with_other_metadata_are_refused(exported, tmp_path, changes, message):
    model = onnx.load(exported[1])
    texts = {part.key: part.value for part in model.metadata_props} | changes
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {name: text for name, text in texts.items() if text is not None})
    save_model(model, tmp_path / "foreign.onnx")
    assert onnxruntime.InferenceSession(tmp_path / "foreign.onnx").get_outputs()
    with pytest.raises(ValueError, match=f"cannot load model .*foreign.onnx: .*{message}.*; give a file"):
        OnnxDetector(tmp_path / "foreign.onnx")


def test_an_axis_model_has_no_heading(exported, tmp_path):
    model = onnx.load(exported[1])
    texts = {part.key: part.value for part in model.metadata_props} | {"has_heading": json.dumps(False)}
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, texts)
    save_model(model, tmp_path / "axis.onnx")
    axis = OnnxDetector(tmp_path / "axis.onnx")
    assert axis.has_heading is axis(make_noise(1)[0]).has_heading is False


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_and_pickles_detect_alike(model, copied):
    assert copied(model).detect_batch(make_noise(3)) == model.detect_batch(make_noise(3))


def save_identity_model(path, exported, outputs):
    """A model with the metadata of the exported one, whose outputs are all its input."""
    make = onnx.helper
    shape = ["batch", 1, "height", "width"]
    nodes = [make.make_node("Identity", ["images"], [name]) for name in outputs]
    values = [make.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in ("images", *outputs)]
    model = make.make_model(
        make.make_graph(nodes, "identity", values[:1], values[1:]),
        opset_imports=[make.make_opsetid("", 18)],
        ir_version=8,
    )
    make.set_model_props(model, {part.key: part.value for part in onnx.load(exported[1]).metadata_props})
    save_model(model, path)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (("boxes", "scores"), "it must have the input and outputs images, boxes, scores, heatmap"),
        (("box", "scores", "heatmap"), "it must have the input and outputs images, boxes, scores, heatmap"),
        (("boxes", "scores", "heatmap"), "boxes must be tensor.float. of shape"),
    ],
)
def test_models_with_other_outputs_are_refused(exported, tmp_path, outputs, message):
    save_identity_model(tmp_path / "foreign.onnx", exported, outputs)
    with pytest.raises(ValueError, match=f"cannot load model .*foreign.onnx: .*{message}.*; give a file"):
        OnnxDetector(tmp_path / "foreign.onnx")


def test_outputs_that_are_not_finite_are_an_error(exported, tmp_path):
    model = onnx.load(exported[1])
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 4:
            broken = np.full(tensor.dims, np.nan, np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(broken, tensor.name))
    save_model(model, tmp_path / "nan.onnx")
    broken = OnnxDetector(tmp_path / "nan.onnx")
    with pytest.raises(ValueError, match="image 0: the network's output is not finite"):
        broken.detect_batch(make_noise(1))
    with pytest.raises(ValueError, match="the model's heatmap is not finite"):
        broken.heatmap(make_noise(1)[0])


@pytest.mark.parametrize("level", ["auto", 0.6])
def test_other_noise_levels_give_the_detections_of_the_detector(detector, model, level):
    images = (0.6 * np.random.default_rng(2).random((4, 200, 200))).astype(np.float32)
    ours, exported = detector.with_noise_level(level), model.with_noise_level(level)
    np.testing.assert_allclose(exported.heatmap(images[0]), ours.heatmap(images[0]), atol=1e-3)
    assert abs(exported.heatmap(images[0]) - model.heatmap(images[0])).max() > 1e-2
    assert model.noise_level == 0.8  # the original is unchanged
