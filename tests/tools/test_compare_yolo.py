"""tools/compare_yolo.py, with a stand-in for Ultralytics, which is not installed with the tests."""

import json
import sys
import time
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
import yaml

from centerdet import RotatedBox
from centerdet.data.dataset import load_dataset
from centerdet.evaluation.report import EvaluationResults
from tests.helpers import BOXES, SHAPE, write_dataset
from tools import compare_yolo
from tools._yolo import YoloDetector, format_label, write_yolo_dataset

FOUND = RotatedBox(60, 40, 0.3, 20, 40)  # the first of BOXES


class Boxes:
    """The boxes of one image, as Ultralytics returns them."""

    conf = torch.tensor([0.2, 0.6])
    xyxyxyxy = torch.tensor(np.stack([BOXES[1].corners(), FOUND.corners()]) + 0.5)  # it measures from the image's edge

    def __len__(self):
        return 2


class Model:
    """A model that learns nothing and finds the same two boxes in every image."""

    calls: ClassVar = []

    def __init__(self, name):
        self.name, self.model = name, torch.nn.Linear(2, 3)

    def add_callback(self, event, call):
        assert event == "on_train_start"
        call(self)

    def train(self, **options):
        self.calls.append((self.name, options, sys.modules["ultralytics.engine"].trainer.time.time))

    def predict(self, image, **options):
        assert image.shape[2] == 3
        assert options["device"] == "cpu"
        return [SimpleNamespace(obb=Boxes())]


@pytest.fixture
def ultralytics(monkeypatch):
    package, engine, trainer = (ModuleType(name) for name in ("ultralytics", "ultralytics.engine", "trainer"))
    package.YOLO, package.engine, engine.trainer, trainer.time = Model, engine, trainer, time
    monkeypatch.setitem(sys.modules, "ultralytics", package)
    monkeypatch.setitem(sys.modules, "ultralytics.engine", engine)
    monkeypatch.setattr(Model, "calls", [])
    for name in ("YOLO_CONFIG_DIR", "YOLO_OFFLINE", "YOLO_AUTOINSTALL"):
        monkeypatch.setenv(name, "")
    threads = torch.get_num_threads()
    yield Model.calls
    torch.set_num_threads(threads)


@pytest.fixture
def data(tmp_path):
    for split in ("train", "validation", "test"):
        path = write_dataset(tmp_path / "set", "csv", split=split)
    return path


def test_it_trains_from_scratch_for_a_cpu_time_and_is_scored_at_the_best_threshold(ultralytics, data, tmp_path, capsys):
    out = tmp_path / "out"
    assert compare_yolo.main([str(data), "--minutes", "3", "--out", str(out), "--weights", "fast"]) == 0
    ((name, options, clock),) = ultralytics
    assert name == "yolo26n-obb.yaml"
    assert (options["time"], options["optimizer"], options["imgsz"]) == (3 / 60, "AdamW", 128)
    assert clock is time.process_time
    peer, ours = json.loads((out / "result.json").read_text())
    assert peer["report"]["ap"] == pytest.approx(1 / 4)  # one of three objects, and a false alarm
    assert (peer["name"], ours["name"]) == ("yolo26n-obb", "centerdet")
    assert (peer["parameters"], ours["parameters"]) == (9, 444_366)
    assert "| yolo26n-obb | 0.250 (" in capsys.readouterr().out


def test_a_full_disk_does_not_cost_the_scores(ultralytics, data, tmp_path, capsys, monkeypatch):
    def fail(*_):
        raise OSError("cannot write result.json: No space left on device")

    monkeypatch.setattr(compare_yolo, "write_json", fail)
    assert compare_yolo.main([str(data), "--minutes", "3", "--out", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr()
    assert "| yolo26n-obb | 0.250 (" in printed.out
    assert "error: cannot write result.json: No space left on device" in printed.err


def test_its_data_set_has_the_same_images_and_corners_within_them(data, tmp_path):
    splits = {split: load_dataset(data, split) for split in ("train", "validation", "test")}
    settings = yaml.safe_load(write_yolo_dataset(splits, tmp_path / "yolo").read_text())
    assert sorted(settings) == ["names", "path", "test", "train", "val"]
    for split, folder in (("train", "train"), ("validation", "val"), ("test", "test")):
        for index, item in enumerate(splits[split].items):
            name = f"{index:06}"
            assert (tmp_path / "yolo" / settings[folder] / f"{name}.png").read_bytes() == item.path.read_bytes()
            text = (tmp_path / "yolo" / "labels" / folder / f"{name}.txt").read_text()
            assert bool(text) == (item.box is not None)
            if item.box:
                corners = np.array(text.split()[1:], float).reshape(4, 2) * SHAPE[::-1]
                assert corners == pytest.approx(item.box.corners() + 0.5, abs=0.01)
    cut = format_label(RotatedBox(5, 40, 0.3, 20, 40), SHAPE[::-1])
    values = np.array(cut.split()[1:], float)
    assert values.min() == 0
    assert values.max() < 1


def test_the_most_likely_box_counts_and_the_threshold_holds(ultralytics, tmp_path):
    detector = YoloDetector(tmp_path / "last.pt", 128)
    image = np.zeros((96, 128), np.uint8)
    detection = detector(image)
    assert detection.score == pytest.approx(0.6)
    assert detection.box.to_array() == pytest.approx(FOUND.to_array(), abs=1e-3)
    assert not detection.has_heading
    detector.threshold = 0.7
    assert detector(image) is None
    with pytest.raises(ValueError, match="8 bits, got float64"):
        detector(np.zeros((96, 128)))


def test_objects_cut_by_the_border_are_left_out():
    target = np.array([[30, 30, 0, 20, 20], [5, 30, 0, 20, 20], [np.nan] * 5, [95, 30, 0, 20, 20]])
    results = EvaluationResults(
        scores=np.ones(4), predicted=target, target=target, iou=np.array([1.0, 1, 0, 1]), seconds=1.0
    )
    kept = compare_yolo.select_inside(results, [(100, 100)] * 3 + [(200, 100)])
    assert kept.iou.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--minutes", "0"], "--minutes must be above 0, got 0"),
        (["--model", "yolo26n-obb.pt"], "--model must be a .yaml"),
        ([], "Ultralytics is not installed here"),
    ],
)
def test_wrong_options_and_a_missing_package_are_one_line(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ultralytics", None)
    monkeypatch.chdir(tmp_path)
    for name in ("YOLO_CONFIG_DIR", "YOLO_OFFLINE", "YOLO_AUTOINSTALL"):
        monkeypatch.setenv(name, "")
    threads = torch.get_num_threads()
    assert compare_yolo.main(["data.yaml", *arguments]) == 2
    torch.set_num_threads(threads)
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
