"""``centerdet export``."""

import hashlib
import json
import re

import cv2
import numpy as np
import pytest

from centerdet.cli.main import main
from centerdet.export import OnnxDetector, web
from tests.helpers import contents, full_disk, make_noise


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


@pytest.fixture
def page(exported, runtime, tmp_path):
    """A page of an earlier model."""
    web.write_page(tmp_path / "page", exported[1], with_examples=True)
    (tmp_path / "page" / "style.css").write_text("of an earlier version")
    return tmp_path / "page"


@pytest.mark.parametrize("room", [0, 1000, 10_000])  # bytes: for no file, for some sources, for all but the model
def test_a_full_disk_leaves_an_earlier_page_as_it_is(exported, page, room):
    before = contents(page)
    assert len(exported[1].read_bytes()) > room
    with full_disk(room), pytest.raises(OSError, match=rf"^cannot write {page}/.*: File too large$"):
        web.write_page(page, exported[1], with_examples=True)
    assert contents(page) == before


def test_a_page_does_not_write_through_links(exported, page, tmp_path):
    (tmp_path / "mine.css").write_text("mine")
    (page / "style.css").unlink()
    (page / "style.css").symlink_to(tmp_path / "mine.css")
    web.write_page(page, exported[1], with_examples=False)
    assert (tmp_path / "mine.css").read_text() == "mine"
    assert (page / "style.css").read_bytes() == (web.web_folder() / "style.css").read_bytes()


def test_a_page_names_the_digest_of_its_model(exported, page):
    settings = json.loads((page / "model.json").read_text())
    assert settings["digest"] == hashlib.sha256((page / "model.onnx").read_bytes()).hexdigest()


def test_a_full_disk_leaves_an_earlier_model_as_it_is(exported, tmp_path, capsys, monkeypatch):
    model, weights = tmp_path / "model.onnx", exported[1].with_name("weights.safetensors")
    monkeypatch.setattr("centerdet.export.graph.trace", lambda *_: exported[1].read_bytes())  # which is slow
    model.write_bytes(exported[1].read_bytes())
    with full_disk(1000):
        assert main(["export", str(model), "--weights", str(weights)]) == 2
    assert re.fullmatch(r"error: cannot write .*/model.onnx: File too large\n", capsys.readouterr().err)
    assert contents(tmp_path) == {"model.onnx": exported[1].read_bytes()}


@pytest.mark.usefixtures("no_export")
def test_a_missing_onnxruntime_web_is_named_with_the_remedy(runtime, tmp_path, capsys):
    (runtime / "node_modules/onnxruntime-web/dist" / web.RUNTIME[1]).unlink()
    assert main(["export", str(tmp_path / "model.onnx"), "--web", str(tmp_path / "page")]) == 2
    message = rf"error: a page needs onnxruntime-web \(.*wasm is missing\); install it: npm ci --prefix {runtime}\n"
    assert re.fullmatch(message, capsys.readouterr().err)
    assert not (tmp_path / "model.onnx").exists()
