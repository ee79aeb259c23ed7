"""The scripts at the top level and in tools/, run as a user runs them."""

import errno
import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

import centerdet
import main as main_script
import train as train_script
from tests.helpers import ROOT, full_disk, make_detector
from tools import draw_figures, robustness, symmetry, visualize, write_architecture

SMOKE = ROOT / "configs" / "smoke.yaml"
TOOLS = sorted(path.name for path in (ROOT / "tools").glob("[a-z]*.py"))


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        (main_script, ["--weights", "missing.safetensors"], "there is no such file"),
        (main_script, ["--threshold", "1.5"], r"threshold must lie in \[0, 1\], got 1.5"),
        (main_script, ["--num-samples", "0"], "--num-samples must be at least 1, got 0"),
        (main_script, ["--seed", "-1", "--num-samples", "1"], "seed"),
        (main_script, ["--device", "abacus"], "cannot use device 'abacus'"),
        (main_script, ["--device", "meta"], "cannot use device 'meta'"),
        (main_script, ["--json", "nowhere/report.json"], "no writable folder"),
        (main_script, ["--json", "."], "it is a folder; name a file in it"),
        (visualize, ["--out", "nowhere/sheet.png"], "no writable folder"),
        (train_script, ["--config", "missing.yaml"], "cannot read missing.yaml"),
        (train_script, ["--config", str(SMOKE), "--out", "/dev/null/x", "--resume"], "nothing to resume"),
        (train_script, ["--config", str(SMOKE), "--threads", "0"], "threads"),
        (visualize, ["missing.png"], "cannot read missing.png"),
        (visualize, ["--num-samples", "0"], "must be at least 1"),
        (visualize, ["--columns", "0"], "must be at least 1"),
        (visualize, ["--worst", "0"], "must be at least 1"),
        (visualize, ["--worst", "3", "missing.png"], "--worst needs true boxes"),
        (robustness, ["--num-samples", "0"], "--num-samples must be at least 1, got 0"),
        (robustness, ["--json", "nowhere/report.json"], "no writable folder"),
        (draw_figures, ["--metrics", "missing.jsonl"], "no metrics at missing.jsonl"),
        (write_architecture, ["--config", "missing.yaml"], "cannot read"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(script, arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert script.main(arguments) == 2
    captured = capsys.readouterr()
    assert re.search(message, captured.err)
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err


def test_train_runs_resumes_and_leaves_weights_that_main_takes(tmp_path, capsys):
    out = tmp_path / "run"
    assert train_script.main(["--config", str(SMOKE), "--out", str(out), "--device", "cpu"]) == 0
    assert "calibrated on 12 further validation scenes" in capsys.readouterr().out
    assert train_script.main(["--config", str(SMOKE), "--out", str(out), "--device", "cpu"]) == 2
    assert "already holds a run" in capsys.readouterr().err
    assert train_script.main(["--config", str(SMOKE), "--out", str(out), "--device", "cpu", "--resume"]) == 0
    weights = str(out / "best.safetensors")
    assert main_script.main(["--num-samples", "5", "--weights", weights]) == 0


def test_visualize_draws_generated_scenes(tmp_path):
    out = tmp_path / "sheet.png"
    assert (
        visualize.main(["--seed", "1", "--num-samples", "3", "--columns", "3", "--scale", "1", "--out", str(out)]) == 0
    )
    sheet = cv2.imread(str(out))
    assert sheet.shape == (208, 616, 3)
    assert (sheet[..., 1].astype(int) - sheet[..., 2] > 100).any()  # something green: a true box


def test_visualize_draws_the_worst_first(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        visualize, "draw_detection", lambda image, **options: drawn.append(options) or np.zeros((9, 9, 3))
    )
    assert visualize.main(["--num-samples", "30", "--worst", "4", "--out", str(tmp_path / "sheet.png")]) == 0
    scores = []
    detector = centerdet.load()
    for image, target in centerdet.benchmark_scenes(0, 30):
        detection = detector(image)
        score = centerdet.score_iou(detection and detection.box, target)
        scores.append(1.0 if score is None else score)
    assert [float(options["caption"].split("IoU ")[1][:4]) for options in drawn] == pytest.approx(
        sorted(scores)[:4], abs=0.01
    )


def test_robustness_prints_a_table(capsys, tmp_path):
    path = tmp_path / "cells.json"
    grid = ["--noise-levels", "0.6", "0.8", "--num-lines", "6"]
    assert robustness.main([*grid, "--weights", "fast", "--num-samples", "15", "--seed", "5", "--json", str(path)]) == 0
    printed = capsys.readouterr().out.splitlines()
    cells = json.loads(path.read_text())
    names = ["as is", "auto", "auto and refined"]
    assert [(cell["noise_level"], cell["detector"]) for cell in cells] == [(n, d) for n in (0.6, 0.8) for d in names]
    default = centerdet.evaluate(centerdet.load("fast", noise_level=0.8), centerdet.benchmark_scenes(5, 15))
    assert cells[3]["ap"] == cells[4]["ap"] == default.ap  # at the default level, measuring changes nothing
    assert printed[-2] == f"| 0.8, auto | {default.ap:.3f} * |"
    assert printed[-6].startswith("| 0.6, as is | ")


class TestLostOutput:
    """What is computed is printed though a disk is full, and written though standard output is full."""

    tools = (
        (robustness, ["--noise-levels", "0.6", "0.8", "--num-lines", "6", "--num-samples", "1"], "| 0.8, as is | "),
        (symmetry, ["--num-samples", "1"], "1 scenes of 200 px: "),
    )

    @pytest.fixture
    def weights(self, tmp_path):
        make_detector(noise_level=None).save(tmp_path / "tiny.safetensors")
        return ["--weights", str(tmp_path / "tiny.safetensors"), "--json", str(tmp_path / "out.json")]

    @pytest.mark.parametrize(("tool", "arguments", "text"), tools)
    def test_a_full_disk(self, tool, arguments, text, weights, tmp_path, capsys):
        with full_disk(10):
            assert tool.main([*arguments, *weights]) == 2
        printed = capsys.readouterr()
        assert text in printed.out
        assert printed.err.endswith(f"error: cannot write {tmp_path}/out.json: File too large\n")
        assert not (tmp_path / "out.json").exists()

    @pytest.mark.parametrize(("tool", "arguments", "text"), tools)
    def test_a_full_standard_output(self, tool, arguments, text, weights, tmp_path, monkeypatch):
        def fail(*_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        stdout = io.StringIO()
        monkeypatch.setattr(stdout, "write", fail)
        monkeypatch.setattr("sys.stdout", stdout)
        assert tool.main([*arguments, *weights]) == 2
        assert json.loads((tmp_path / "out.json").read_text())


def test_symmetry_counts_the_views_that_agree(tmp_path, capsys):
    path = tmp_path / "report.json"
    assert symmetry.main(["--num-samples", "6", "--seed", "1", "--device", "cpu", "--json", str(path)]) == 0
    report = json.loads(path.read_text())
    assert report["views"] >= 7
    assert report["fraction"] == report["agreeing"] / report["views"] >= 0.98
    assert f"{report['views']} moved views with a box, {report['fraction']:.2%} agree" in capsys.readouterr().out

    class Stubborn:
        """Finds the same box wherever the object has gone."""

        def detect_batch(self, images):
            return [centerdet.Detection(centerdet.RotatedBox(60, 90, 0.5, 20, 40), 0.9) for _ in images]

    scenes = [(np.zeros((200, 200)), None)] * 3
    assert symmetry.measure(Stubborn(), scenes) == (21, 0, 0, 0.0)


def test_visualize_draws_image_files(tmp_path):
    np.random.seed(2)
    image, _ = centerdet.make_data(has_spaceship=True)
    cv2.imwrite(str(tmp_path / "eight.png"), (image * 255).astype(np.uint8))
    cv2.imwrite(str(tmp_path / "sixteen.png"), (image * 65535).astype(np.uint16))
    np.save(tmp_path / "float.npy", image)
    files = [str(tmp_path / name) for name in ("eight.png", "sixteen.png", "float.npy")]
    assert visualize.main([*files, "--out", str(tmp_path / "sheet.png")]) == 0
    assert cv2.imread(str(tmp_path / "sheet.png")).shape == (2 * 404 + 4, 2 * 404 + 4, 3)


def test_visualize_refuses_files_that_are_no_images(tmp_path, capsys):
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.png").write_text("")
    np.save(tmp_path / "wild.npy", np.full((80, 80), 7.5))
    header = struct.pack(">II5B", 900_000, 900_000, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (tmp_path / "bomb.png").write_bytes(png)  # declares 810 gigapixels
    for name, message in {
        "text.png": "cannot read",
        "empty.png": "cannot read",
        "wild.npy": "wild.npy: .*7.5 to 7.5",
        "bomb.png": "cannot read",
    }.items():
        assert visualize.main([str(tmp_path / name), "--out", str(tmp_path / "sheet.png")]) == 2
        assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "sheet.png").exists()


def test_draw_figures_draws_four_pictures(tmp_path, capsys):
    assert draw_figures.main(["--out", str(tmp_path), "--num-samples", "40"]) == 0
    names = ["curves.png", "detection.png", "maps.png", "reliability.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    for name in names:
        assert cv2.imread(str(tmp_path / name)).std() > 10
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)


def test_every_script_prints_its_help_from_any_folder(tmp_path):
    """Each with nothing of ours imported before it, and its own folder first on the path, as Python starts scripts."""
    code = """if True:
        import runpy, sys
        path = sys.path[1:]
        for script in sys.argv[1:]:
            sys.path[:], sys.argv = [script.rpartition("/")[0], *path], [script, "--help"]
            try:
                runpy.run_path(script, run_name="__main__")
            except SystemExit as stop:
                assert stop.code == 0, script
            for name in [name for name in sys.modules if name.split(".")[0] in ("centerdet", "tools", "main", "train")]:
                del sys.modules[name]
    """
    scripts = ["main.py", "train.py", *(f"tools/{tool}" for tool in TOOLS)]
    command = [sys.executable, "-c", code, *(ROOT / script for script in scripts)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    usages = re.findall(r"^usage: (\S+)", done.stdout, flags=re.MULTILINE)
    assert usages == [Path(script).name for script in scripts]


def test_an_installed_wheel_finds_its_weights_from_an_empty_folder(tmp_path):
    """Builds the wheel from a copy of the sources, installs it, loads the shipped weights with nothing else there."""
    source, site, empty = (tmp_path / name for name in ("source", "site", "empty"))
    for path in (source, site, empty):
        path.mkdir()
    for name in ("centerdet", "weights", "web", "pyproject.toml", "setup.py", "README.md", "LICENSE"):
        subprocess.run(["cp", "-r", ROOT / name, source / name], check=True)
    build = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"  # as pip does
    subprocess.run([sys.executable, "-c", build, tmp_path], cwd=source, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("centerdet-*.whl")
    shutil.unpack_archive(wheel, site, "zip")  # a wheel without compiled parts is installed by this
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); import centerdet, numpy;"
        f"assert centerdet.__file__.startswith({str(site)!r}), centerdet.__file__;"
        "detector = centerdet.load(); print(detector(numpy.zeros((200, 200))), detector.threshold)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, cwd=empty, check=True)
    assert done.stdout.split() == ["None", str(centerdet.load().threshold)]
