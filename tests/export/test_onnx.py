"""An exported model finds what its detector finds, without torch, and says clearly what is wrong."""

import json
import re
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import centerdet
from centerdet import cli, export, graph
from centerdet.box import box_corners
from centerdet.detector.base import BaseDetector
from centerdet.export.onnx import OnnxDetector, check_parity, export_onnx
from centerdet.model.equivariant import transform
from centerdet.synthetic.scenes import draw_scene
from tests.helpers import ROOT, make_detector


@pytest.fixture
def detector(exported):
    return exported[0]


@pytest.fixture
def model(exported):
    return OnnxDetector(exported[1])


def scenes(count, shape=(200, 200)):
    return list(np.random.default_rng(count).random((count, *shape)))


def assert_same_boxes(found, wanted):
    corners = [box_corners([answer.box.to_array() for answer in answers]) for answers in (found, wanted)]
    np.testing.assert_allclose(*corners, atol=1e-3)
    np.testing.assert_allclose([a.score for a in found], [a.score for a in wanted], atol=1e-4)


def test_the_command_writes_one_file_and_says_so_in_one_line(exported):
    _, path, done = exported
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{path}: for images of 200 x 200 px, as many at once as you like\n"
    assert sorted(file.name for file in path.parent.iterdir()) == ["model.onnx", "weights.safetensors"]


@pytest.mark.parametrize("count", [1, 2, 5, 7])
def test_it_finds_what_the_detector_finds(detector, model, count):
    images = scenes(count)
    found = model.detect_batch(images, batch_size=count)
    assert_same_boxes(found, detector.detect_batch(images))
    assert model(images[0]) == model.detect(images[0])
    assert_same_boxes([model(images[0])], found[:1])


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_change_nothing_but_the_time(exported, model, threads):
    images = scenes(8)
    found = OnnxDetector(exported[1], threads=threads).detect_batch(images)
    assert_same_boxes(found, model.detect_batch(images, batch_size=1))
    assert len({answer.score for answer in found}) == len(images)  # so that their order is seen


@pytest.mark.parametrize("threads", [0, -1])
def test_threads_that_are_none_are_refused(exported, threads):
    with pytest.raises(ValueError, match=f"threads must be at least 1, got {threads}"):
        OnnxDetector(exported[1], threads=threads)


def test_headings_are_right_in_every_quadrant(detector, model):
    image = torch.from_numpy(scenes(1)[0])
    images = [transform(image, element).numpy() for element in range(8)]
    found = model.detect_batch(images)
    assert {int(answer.box.yaw // (np.pi / 2)) for answer in found} == {-2, -1, 0, 1}
    assert_same_boxes(found, detector.detect_batch(images))


def test_its_heatmap_is_the_detectors(detector, model):
    (image,) = scenes(1)
    heatmap = model.heatmap(image)
    assert (heatmap.shape, heatmap.dtype) == (image.shape, np.float32)
    assert np.ptp(heatmap) > 0.1
    np.testing.assert_allclose(heatmap, detector.heatmap(image), atol=1e-4)


def test_the_threshold_is_the_detectors_and_can_be_changed(detector, model):
    assert model.threshold == detector.threshold == 0.2
    assert model.metadata == detector.metadata
    model.threshold = 1
    assert model.detect_batch(scenes(2)) == [None, None]
    with pytest.raises(ValueError, match=r"threshold must lie in \[0, 1\], got 1.5"):
        model.threshold = 1.5


def test_other_shapes_strides_and_inputs_work_too(tmp_path):
    detector = make_detector(seed=1, stride=2, noise_level=None)
    detector.threshold = 0.05
    detector.intensity_range = (100.0, 4095.0)
    export_onnx(detector, tmp_path / "model.onnx", image_size=(90, 131))
    model = OnnxDetector(str(tmp_path / "model.onnx"))
    assert (model.image_size, detector.threshold) == ((90, 131), 0.05)
    assert model.intensity_range == (100, 4095)
    images = [100 + 3995 * image for image in scenes(3, (90, 131))]
    assert_same_boxes(model.detect_batch(images, batch_size=2), detector.detect_batch(images))
    np.testing.assert_allclose(model.heatmap(images[0]), detector.heatmap(images[0]), atol=1e-4)


@pytest.mark.parametrize(
    "image", [np.zeros((200, 200, 3)), np.full((200, 200), np.nan), np.zeros((200, 200), int), np.zeros((63, 200))]
)
def test_a_bad_image_is_refused_in_the_detectors_words(detector, model, image):
    for call in ("__call__", "heatmap"):
        with pytest.raises(ValueError, match="image") as wanted:
            getattr(detector, call)(image)
        with pytest.raises(ValueError, match=f"^{re.escape(str(wanted.value))}$"):
            getattr(model, call)(image)


def test_an_image_of_another_size_is_refused_with_a_remedy(model):
    message = r"this model takes images of shape \(200, 200\), got \(90, 131\).*--image-size 90 131"
    with pytest.raises(ValueError, match=f"image 1: {message}"):
        model.detect_batch([np.zeros((200, 200)), np.zeros((90, 131))])
    with pytest.raises(ValueError, match=message):
        model.heatmap(np.zeros((90, 131)))


def test_it_needs_numpy_and_onnxruntime_alone(exported, model):
    code = f"""if True:
        import sys
        for name in ("torch", "onnx", "onnxscript", "safetensors", "shapely", "skimage", "scipy", "cv2", "matplotlib"):
            sys.modules[name] = None  # importing it is an error
        import numpy as np
        from centerdet.export.onnx import OnnxDetector
        model = OnnxDetector({str(exported[1])!r})
        image = np.random.default_rng(1).random((1, 200, 200))[0]
        print(model(image).box.to_array().tolist(), model(image).box.corners().shape, model.heatmap(image).shape)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    found = model(scenes(1)[0])
    assert (done.stderr, done.stdout) == ("", f"{found.box.to_array().tolist()} (4, 2) (200, 200)\n")


def test_the_metadata_tell_all_that_another_program_needs(exported):
    model = onnx.load(exported[1])
    facts = {part.key: part.value for part in model.metadata_props}
    assert facts.pop("format") == "centerdet onnx 2"
    facts = {name: json.loads(text) for name, text in facts.items()}
    assert facts["image_size"] == [200, 200]
    assert facts["threshold"] == 0.2
    assert facts["intensity"] is None
    assert facts["heading"] is True
    assert facts["report"] == {"validation": {"ap": 0.5}}
    assert "uint16 / 65535" in facts["preprocessing"]
    assert "the heading points to ``(sin yaw, cos yaw)``" in facts["convention"]
    assert [part.version for part in model.opset_import if not part.domain] == [18]


def test_the_file_does_not_tell_where_it_was_made(exported):
    assert b".py" not in exported[1].read_bytes()


def test_files_that_are_no_models_are_refused(exported, tmp_path):
    with pytest.raises(ValueError, match="cannot load model .*missing.onnx: .*No such file"):
        OnnxDetector(tmp_path / "missing.onnx")
    with pytest.raises(ValueError, match="cannot load model .*directory"):
        OnnxDetector(tmp_path)
    content = exported[1].read_bytes()
    for damaged in (b"", content[:100], content[:-1], b"hello" * 100, content[1000:]):
        (tmp_path / "damaged.onnx").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"cannot load model .*damaged.onnx: .*give a file that centerdet export"):
            OnnxDetector(tmp_path / "damaged.onnx")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": None}, "not a 'centerdet onnx 2' file"),
        ({"format": "centerdet onnx 1"}, "not a 'centerdet onnx 2' file"),
        ({"threshold": None}, "threshold"),
        ({"threshold": "2"}, r"threshold must lie in \[0, 1\], got 2"),
        ({"threshold": "{"}, ""),
        ({"report": "3"}, "the report must be an object"),
        ({"image_size": "[200, 100]"}, r"its image_size is \[200, 100\]"),
        ({"image_size": "3"}, ""),
    ],
)
def test_models_with_other_metadata_are_refused(exported, tmp_path, changes, message):
    model = onnx.load(exported[1])
    facts = {part.key: part.value for part in model.metadata_props} | changes
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {name: text for name, text in facts.items() if text is not None})
    onnx.save(model, tmp_path / "foreign.onnx")
    assert onnxruntime.InferenceSession(tmp_path / "foreign.onnx").get_outputs()
    with pytest.raises(ValueError, match=f"cannot load model .*foreign.onnx: .*{message}.*; give a file"):
        OnnxDetector(tmp_path / "foreign.onnx")


class Said(BaseDetector):
    """Answers what it is told to, one number after the other."""

    def __init__(self, *, x=100.0, scores=(0.5,) * 8, heat=0.0):
        super().__init__(threshold=0.3, intensity_range=None, has_heading=True, report=None)
        self.x, self.heat, self.rest, self.sizes = np.broadcast_to(x, 8), heat, list(enumerate(scores)), []

    def _decode(self, images):
        self.sizes.append(len(images))
        chunk, self.rest = self.rest[: len(images)], self.rest[len(images) :]
        boxes = [(self.x[index], 100, 0, 20, 30) for index, _ in chunk]
        return np.array(boxes, dtype=float), np.array([score for _, score in chunk])

    def heatmap(self, image):
        return np.full(image.shape, self.heat)


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"x": 100.002}, "corners differ from the detector's by 0.002"),
        ({"x": [100] * 7 + [101]}, "corners differ from the detector's by 1,"),
        ({"scores": [0.5] * 7 + [0.5002]}, "scores differ from the detector's by 0.0002"),
        ({"heat": 0.0002}, "heatmap differ from the detector's by 0.0002"),
        ({"heat": np.nan}, "heatmap differ from the detector's by nan"),
    ],
)
def test_parity_means_boxes_scores_and_heatmap(answers, message):
    with pytest.raises(ValueError, match=message):
        check_parity(Said(), Said(**answers), scenes(8))


def test_parity_is_checked_in_batches_of_1_2_and_5_where_something_is_seen():
    exported = Said(x=100.0005, scores=[0.50005] * 8)
    check_parity(Said(), exported, scenes(8))
    assert exported.sizes == [1, 2, 5]
    seen, unseen = [0.5] * 7 + [0.1], [0.1] * 7 + [0.2]  # below 0.3, the likeliest counts
    moved = [100] * 7 + [140]
    check_parity(Said(scores=seen), Said(scores=seen, x=moved), scenes(8))
    with pytest.raises(ValueError, match="corners differ"):
        check_parity(Said(scores=unseen), Said(scores=unseen, x=moved), scenes(8))


@pytest.mark.parametrize("size", [(200, 200), (64, 64), (70, 300)])
def test_parity_is_checked_on_ships_and_one_empty_scene(size, monkeypatch):
    ships = []

    def draw(rng, *, has_spaceship, **options):
        ships.append(has_spaceship)
        return draw_scene(rng, has_spaceship=has_spaceship, **options)

    monkeypatch.setattr("centerdet.scenes.draw_scene", draw)
    images = export._scenes(size)
    assert ships == [True] * 7 + [False]
    assert [image.shape for image in images] == [size] * 8
    assert len({image.tobytes() for image in images}) == 8


def test_a_model_that_says_something_else_is_not_written(exported, tmp_path, monkeypatch):
    content = exported[1].read_bytes()
    monkeypatch.setattr(graph, "trace", lambda *_: content)
    (tmp_path / "model.onnx").write_text("the old one")
    with pytest.raises(ValueError, match="differ from the detector's by .*nothing was written"):
        export_onnx(make_detector(seed=7), tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_text() == "the old one"
    assert len(list(tmp_path.iterdir())) == 1
    export_onnx(exported[0], tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_bytes() == content


@pytest.mark.parametrize("size", [(63, 200), (200,), (200.0, 200.0), (64, 64, 64), (10_001, 64)])
def test_a_size_that_is_none_is_refused(detector, tmp_path, size):
    with pytest.raises(ValueError, match=r"image_size must be \(height, width\), 64 to 10,000 px each, got"):
        export_onnx(detector, tmp_path / "model.onnx", image_size=size)


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_a_missing_package_is_named_with_the_remedy(exported, tmp_path, monkeypatch, capsys, package):
    detector, path, _ = exported
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"needs {package}: pip install 'centerdet\[export\]'"
    with pytest.raises(ImportError, match=message):
        export_onnx(detector, tmp_path / "model.onnx")
    weights = str(path.with_name("weights.safetensors"))
    assert cli.main(["export", str(tmp_path / "model.onnx"), "--weights", weights]) == 2
    assert re.fullmatch(f"error: .*{message}\n", capsys.readouterr().err)
    if package == "onnxruntime":
        with pytest.raises(ImportError, match=message):
            OnnxDetector(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere/model.onnx"], "no writable folder"),
        (["model.onnx", "--image-size", "10", "200"], r"64 to 10,000 px each, got \(10, 200\)"),
        (["model.onnx", "--image-size", "200", "1000000"], r"64 to 10,000 px each, got \(200, 1000000\)"),
        (["model.onnx", "--weights", "missing.safetensors"], "there is no such file"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(exported, arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    weights = [] if "--weights" in arguments else ["--weights", str(exported[1].with_name("weights.safetensors"))]
    assert cli.main(["export", *arguments, *weights]) == 2
    assert re.fullmatch(f"error: .*{message}.*\n", capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_the_command_explains_itself(capsys):
    words = {("--help",): "export", ("export", "--help"): "--image-size H W", ("--version",): centerdet.__version__}
    for arguments, word in words.items():
        with pytest.raises(SystemExit) as stop:
            cli.main(arguments)
        assert stop.value.code == 0
        assert word in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        cli.main([])
    assert stop.value.code == 2
