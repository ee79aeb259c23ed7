"""Export writes a model only if it gives the detector's results."""

import re
import sys

import numpy as np
import pytest

import centerdet
from centerdet.cli.main import main
from centerdet.detector.base import BaseDetector
from centerdet.export import graph, onnx
from centerdet.export.onnx import PARITY_SHAPES, check_parity, export_onnx
from centerdet.export.runtime import OnnxDetector
from centerdet.synthetic import scenes
from tests.helpers import assert_same_boxes, make_detector, make_noise


def test_other_strides_intensity_ranges_and_normalizations_are_exported(tmp_path):
    detector = make_detector(seed=1, stride=2, noise_level=None, normalization="local")
    detector.threshold = 0.01
    detector.intensity_range = (100.0, 4095.0)
    export_onnx(detector, tmp_path / "model.onnx")
    model = OnnxDetector(str(tmp_path / "model.onnx"))
    assert model.threshold == detector.threshold == 0.01
    assert model.intensity_range == (100, 4095)
    for shape in ((90, 131), (64, 64), (217, 70)):
        images = [100 + 3995 * image for image in make_noise(3, shape)]
        assert_same_boxes(model.detect_batch(images, batch_size=2), detector.detect_batch(images))
        np.testing.assert_allclose(model.heatmap(images[0]), detector.heatmap(images[0]), atol=1e-4)


class FixedDetector(BaseDetector):
    """Gives fixed results, one after the other, and records the batch sizes."""

    def __init__(self, *, x=100.0, scores=(0.5,) * 8, heat=0.0):
        super().__init__(threshold=0.3, intensity_range=None, has_heading=True, metadata=None)
        self.x, self.heat, self.scores, self.shapes, self.next = np.broadcast_to(x, 8), heat, scores, [], 0

    def _decode(self, images):
        self.shapes.append(images.shape)
        indices = [(self.next + index) % 8 for index in range(len(images))]
        self.next += len(images)
        boxes = [(self.x[index], 100, 0, 20, 30) for index in indices]
        return np.array(boxes, dtype=float), np.array([self.scores[index] for index in indices])

    def heatmap(self, image):
        return np.full(image.shape, self.heat)


class TieDetector(FixedDetector):
    """Has two equally good boxes, 0.8 px apart; the last bits of the pixels decide between them."""

    def _decode(self, images):
        boxes, scores = super()._decode(images)
        boxes[:, 0] += np.where(images[:, 0, 0] == np.float32(0.5), 0.0, 0.8)
        return boxes, scores


def test_parity_accepts_what_rounding_changes_in_the_detector_itself():
    """The exported model chooses the other one of two equally good boxes. Anything else is still an error."""
    images = [np.full((64, 64), 0.5)] * 8
    batches = [images[:1], images[1:3], images[3:]]
    check_parity(TieDetector(), FixedDetector(x=100.8), batches)
    with pytest.raises(ValueError, match="corners differ from the detector's by 4,"):
        check_parity(TieDetector(), FixedDetector(x=[100.8] * 7 + [104]), batches)
    with pytest.raises(ValueError, match="corners differ from the detector's by 0.8,"):
        check_parity(FixedDetector(), FixedDetector(x=100.8), batches)


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ({"x": 100.002}, "corners differ from the detector's by 0.002, more than 0.001;"),
        ({"x": [100] * 7 + [101]}, "corners differ from the detector's by 1,"),
        ({"scores": [0.5] * 7 + [0.5002]}, "scores differ from the detector's by 0.0002"),
        ({"heat": 0.0002}, "heatmap differ from the detector's by 0.0002"),
        ({"heat": np.nan}, "heatmap differ from the detector's by nan"),
    ],
)
def test_parity_compares_boxes_scores_and_heatmaps(results, message):
    with pytest.raises(ValueError, match=f"{message}.*pip install -r requirements-test.txt"):
        check_parity(FixedDetector(), FixedDetector(**results), make_batches())


def make_batches():
    return [make_noise(count, shape) for count, *shape in PARITY_SHAPES]


def test_parity_is_checked_in_three_sizes_where_something_is_detected():
    assert PARITY_SHAPES == ((1, 200, 200), (2, 131, 90), (5, 64, 301))
    exported = FixedDetector(x=100.0005, scores=[0.50005] * 8)
    check_parity(FixedDetector(), exported, make_batches())
    assert exported.shapes == [*PARITY_SHAPES]
    detected, unlikely = [0.5] * 7 + [0.1], [0.1] * 7 + [0.2]  # below 0.3, only the most likely box counts
    moved = [100] * 7 + [140]
    check_parity(FixedDetector(scores=detected), FixedDetector(scores=detected, x=moved), make_batches())
    with pytest.raises(ValueError, match="corners differ"):
        check_parity(FixedDetector(scores=unlikely), FixedDetector(scores=unlikely, x=moved), make_batches())


def test_parity_is_checked_on_scenes_with_a_ship_and_empty_ones(monkeypatch):
    ships, draw_scene = [], scenes.draw_scene

    def draw(rng, *, has_spaceship, **options):
        ships.append(has_spaceship)
        return draw_scene(rng, has_spaceship=has_spaceship, **options)

    monkeypatch.setattr(scenes, "draw_scene", draw)
    images = [image for batch in onnx._draw_scenes() for image in batch]
    assert ships == [True, True, False, True, True, True, True, False]
    assert [image.shape for image in images] == [(200, 200), *[(131, 90)] * 2, *[(64, 301)] * 5]
    assert len({image.tobytes() for image in images}) == 8


def test_a_model_with_other_results_is_not_written(exported, tmp_path, monkeypatch):
    content = exported[1].read_bytes()
    monkeypatch.setattr(graph, "trace", lambda *_: content)
    (tmp_path / "model.onnx").write_text("the old one")
    with pytest.raises(ValueError, match="differ from the detector's by .*nothing was written"):
        export_onnx(make_detector(seed=7), tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_text() == "the old one"
    assert len(list(tmp_path.iterdir())) == 1
    export_onnx(exported[0], tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_bytes() == content


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_a_missing_package_is_named_with_the_remedy(exported, tmp_path, monkeypatch, capsys, package):
    detector, path, _ = exported
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"needs {package}: pip install '\.\[export\]'"
    with pytest.raises(ImportError, match=message):
        export_onnx(detector, tmp_path / "model.onnx")
    weights = str(path.with_name("weights.safetensors"))
    assert main(["export", str(tmp_path / "model.onnx"), "--weights", weights]) == 2
    assert re.fullmatch(f"error: .*{message}\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere/model.onnx"], "no writable folder"),
        (["model.onnx", "--weights", "missing.safetensors"], "there is no such file"),
    ],
)
def test_invalid_input_is_one_line_and_exit_code_2(exported, arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    weights = [] if "--weights" in arguments else ["--weights", str(exported[1].with_name("weights.safetensors"))]
    assert main(["export", *arguments, *weights]) == 2
    assert re.fullmatch(f"error: .*{message}.*\n", capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_the_command_has_help_and_a_version(capsys):
    words = {("--help",): "export", ("export", "--help"): "--weights WEIGHTS", ("--version",): centerdet.__version__}
    for arguments, word in words.items():
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 0
        assert word in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 2
