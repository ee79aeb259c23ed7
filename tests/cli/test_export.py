"""``centerdet export``."""

import json
import re

import cv2
import numpy as np
import pytest

from centerdet.cli.main import main
from centerdet.export import OnnxDetector, web
from tests.helpers import make_noise


def test_the_command_writes_a_model_for_images_of_any_size(exported):
    _, path, done = exported
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{path}: for images of at least 64 px a side, in batches of any size\n"
    assert len(OnnxDetector(path).detect_batch([*make_noise(1, (90, 131)), *make_noise(2, (64, 64))])) == 3


@pytest.fixture
def no_export(exported, monkeypatch):
    """Replaces the slow export by a copy of a finished model."""
    write = "centerdet.export.export_onnx"
    monkeypatch.setattr(write, lambda _, path: path.write_bytes(exported[1].read_bytes()))


@pytest.fixture
def runtime(monkeypatch, tmp_path):
    """A folder of page sources with a small stand-in for the files of onnxruntime-web."""
    sources = tmp_path / "sources"
    (sources / "node_modules/onnxruntime-web/dist").mkdir(parents=True)
    for name in web.SOURCES:
        (sources / name).write_bytes((web.web_folder() / name).read_bytes())
    for name in web.RUNTIME:
        (sources / "node_modules/onnxruntime-web/dist" / name).write_text(name)
    monkeypatch.setattr(web, "web_folder", lambda: sources)
    return sources


@pytest.mark.usefixtures("no_export", "runtime")
def test_a_page_has_the_model_its_settings_and_examples(tmp_path, capsys):
    page = tmp_path / "page"
    assert main(["export", str(tmp_path / "model.onnx"), "--web", str(page)]) == 0
    assert f"python -m http.server --directory {page}" in capsys.readouterr().out
    files = {path.relative_to(page).as_posix() for path in page.rglob("*") if path.is_file()}
    assert files == set(web.PAGE_FILES)
    assert (page / "model.onnx").read_bytes() == (tmp_path / "model.onnx").read_bytes()
    settings = json.loads((page / "model.json").read_text())
    assert (settings["threshold"], settings["minSide"], settings["has_heading"]) == (0.2, 64, True)
    for name in settings["examples"]:
        image = cv2.imread(str(page / name), cv2.IMREAD_UNCHANGED)
        assert (image.dtype, image.shape) == (np.uint8, (200, 200))
    texts = "".join((page / name).read_text() for name in web.SOURCES)
    assert set(re.findall(r"https?://[^\s\"]*", texts)) == {
        "http://www.w3.org/2000/svg"
    }  # nothing is loaded from there


@pytest.mark.usefixtures("no_export", "runtime")
def test_a_page_replaces_an_earlier_page_only(exported, tmp_path, capsys):
    page, model = tmp_path / "page", tmp_path / "model.onnx"
    weights = str(exported[1].with_name("weights.safetensors"))
    command = ["export", str(model), "--weights", weights, "--web", str(page)]
    page.mkdir()
    (page / "index.html").write_text("mine")
    assert main(command) == 2
    assert "index.html (--web): the file exists" in capsys.readouterr().err
    assert (page / "index.html").read_text() == "mine"
    assert not model.exists()
    assert main([*command, "--overwrite"]) == main(command) == 0
    assert json.loads((page / "model.json").read_text())["examples"] == []  # scenes of the task suit its weights only
    command[1] = str(page / "model.onnx")
    assert main(command) == 2
    assert "it would overwrite" in capsys.readouterr().err


@pytest.mark.usefixtures("no_export")
def test_a_missing_onnxruntime_web_is_named_with_the_remedy(runtime, tmp_path, capsys):
    (runtime / "node_modules/onnxruntime-web/dist" / web.RUNTIME[1]).unlink()
    assert main(["export", str(tmp_path / "model.onnx"), "--web", str(tmp_path / "page")]) == 2
    message = rf"error: a page needs onnxruntime-web \(.*wasm is missing\); install it: npm ci --prefix {runtime}\n"
    assert re.fullmatch(message, capsys.readouterr().err)
    assert not (tmp_path / "model.onnx").exists()
