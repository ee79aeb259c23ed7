"""tools/benchmark.py and tools/profile_training.py, with tiny counts."""

import json
import shutil

import numpy as np
import pytest
import torch

import centerdet
from tools import _timing, benchmark, profile_training
from tools._regression_baseline import RegressionBaseline, RegressionNetwork


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(benchmark, "BATCH", 2)
    monkeypatch.setattr(benchmark, "SCENES", 3)


def test_benchmark_times_every_contestant(few, monkeypatch, exported, tmp_path, capsys):
    monkeypatch.setattr(benchmark, "export_onnx", lambda detector, path: shutil.copy(exported[1], path))
    path = tmp_path / "benchmark.json"
    assert benchmark.main(["--rounds", "2", "--threads", "1", "--json", str(path)]) == 0
    written = json.loads(path.read_text())
    assert written["rounds"] == 2
    rows = written["rows"]
    assert [row["task"] for row in rows] == ["one image"] * 10 + ["batches of 2"] * 10 + ["scenes"] * 2
    assert sum(row["name"].endswith(", refined") for row in rows) == 4
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2 + len(rows)
    for row, line in zip(rows, printed[2:], strict=True):
        assert line.startswith(f"| {row['task']} | 1 | {row['name']} |")
        if "bfloat16" not in row["name"]:  # as the CPU can
            assert 0 < row["quartiles"][0] <= row["median"] <= row["quartiles"][1]
            assert row["ratio"] > 0
    assert rows[0]["ratio"] == rows[10]["ratio"] == rows[20]["ratio"] == 1


def test_benchmark_runs_without_onnxruntime(few, monkeypatch, capsys):
    def missing(detector, path):
        raise ImportError("exporting needs onnxruntime: pip install '.[export]'")

    monkeypatch.setattr(benchmark, "export_onnx", missing)
    assert benchmark.main(["--rounds", "1", "--threads", "1"]) == 0
    assert capsys.readouterr().out.count(", ONNX Runtime | exporting needs onnxruntime: pip") == 4


def test_contestants_take_turns_and_speeds_are_compared(monkeypatch):
    turns, clock = [], [0.0]
    monkeypatch.setattr(_timing.time, "perf_counter", lambda: clock[0])

    def contestant(name, seconds):
        def call():
            turns.append(name)
            clock[0] += seconds
            return 10

        return call

    calls = {"slow": contestant("slow", 2.0), "fast": contestant("fast", 0.5), "absent": "not here"}
    slow, fast, absent = benchmark.compare("task", calls, 3)
    assert turns == ["slow", "fast"] * 4
    assert (slow.median, slow.quartiles, slow.ratio) == (5, (5, 5), 1)
    assert (fast.median, fast.ratio) == (20, 4)
    assert (absent.median, absent.note) == (None, "not here")


def test_the_baseline_is_the_published_network_with_its_norms_folded_in():
    network = RegressionNetwork()
    assert sum(parameter.numel() for parameter in network.parameters()) == pytest.approx(1.99e6, abs=5e3)
    for layer in network.features:
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.running_mean)
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
    images = torch.rand(2, 1, 200, 200)
    with torch.no_grad():
        expected = network.eval()(images)
        torch.testing.assert_close(network.fused()(images), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("whole_batches", [False, True])
def test_the_baseline_has_a_detectors_methods(whole_batches):
    baseline = RegressionBaseline(whole_batches=whole_batches)
    baseline.threshold = 0.0
    image = np.full((200, 200), 0.5)
    one, other = baseline.detect_batch([image, image])
    assert isinstance(one, centerdet.Detection)
    assert one.box.to_array() == pytest.approx(other.box.to_array(), rel=1e-4)


def test_the_profile_has_a_line_for_each_crop_size(monkeypatch, capsys):
    monkeypatch.setattr(profile_training, "CROP_SIZES", (64, 72))
    config = profile_training.ROOT / "configs" / "smoke.yaml"
    assert profile_training.main(["--config", str(config), "--steps", "2", "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()[-2:]
    for line, crop_size in zip(lines, (64, 72), strict=True):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[0] == f"{crop_size} px"
        shares = [float(cell.rstrip("%")) for cell in cells[1:8]]
        assert sum(shares) == pytest.approx(100, abs=0.5)
        assert min(shares) > 0


@pytest.mark.parametrize(("tool", "option"), [(benchmark, "--rounds"), (profile_training, "--steps")])
def test_nothing_to_measure_is_an_error(tool, option, capsys):
    assert tool.main([option, "0"]) == 2
    assert f"{option} must be at least 1, got 0" in capsys.readouterr().err
