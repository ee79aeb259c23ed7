"""Results of ``centerdet predict`` for labelling tools: the readers of the same formats give the same boxes."""

import json
import shutil

import numpy as np
import pytest

import centerdet
from centerdet.cli.main import main
from centerdet.cli.writers import open_writer
from centerdet.data import labelme
from centerdet.data.image_io import read_image
from centerdet.data.labels import ErrorCollector
from tests.data.drawn import read


@pytest.fixture
def photos(images, tmp_path):
    """Two images in a folder and its subfolder, and their names."""
    folder, names = images
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    shutil.copy(folder / names[0], tmp_path / "photos" / "a.png")
    shutil.copy(folder / names[1], tmp_path / "photos" / "sub" / "b & c.png")
    return tmp_path / "photos", ["a.png", "sub/b & c.png"]


@pytest.mark.parametrize("format", ["label-studio", "cvat", "labelme"])
def test_the_labels_are_the_detections(format, photos, tmp_path):
    folder, names = photos
    out = tmp_path / "labels"
    command = ["predict", str(folder), "--threshold", "0", "--format", format, "--out", str(out)]
    assert main(command) == 0
    if format == "label-studio":  # as a person who accepts the predictions
        tasks = json.loads(out.read_text())
        assert all(0 < task["predictions"][0]["score"] <= 1 for task in tasks)
        assert tasks[1]["data"]["image"] == "/data/local-files/?d=sub/b%20%26%20c.png"
        out = tmp_path / "accepted"
        out.write_text(json.dumps([{"data": task["data"], "annotations": task["predictions"]} for task in tasks]))
    found, errors = read(format, out, names, size=(200, 200))
    assert errors == []
    detector = centerdet.load(threshold=0)
    for name in names:
        alone = detector(read_image(folder / name)).box  # the second stage amplifies the rounding of batches
        np.testing.assert_allclose(found[name][0].to_array(), alone.to_array(), atol=0.01)
    assert main([*command, *(["--overwrite"] if format == "labelme" else [])]) == 0  # replaces its own result


def test_labelme_finds_the_image(photos, tmp_path):
    folder, _ = photos
    assert main(["predict", str(folder), "--format", "labelme", "--out", str(tmp_path / "out")]) == 0
    file = tmp_path / "out" / "sub" / "b & c.json"
    assert (file.parent / json.loads(file.read_text())["imagePath"]).resolve() == folder / "sub" / "b & c.png"
    assert labelme.read_file(file, size=(200, 200), has_heading=True, errors=ErrorCollector()) is not None


@pytest.mark.parametrize("format", ["label-studio", "cvat"])
def test_a_stopped_run_leaves_a_whole_file(format, tmp_path):
    path = tmp_path / "labels"
    with pytest.raises(KeyboardInterrupt), open_writer(path, format, {}):
        raise KeyboardInterrupt
    assert json.loads(path.read_text()) == [] if format == "label-studio" else "</annotations>" in path.read_text()


def test_foreign_files_are_not_replaced(photos, tmp_path, capsys):
    for format in ("label-studio", "cvat"):
        (tmp_path / "mine").write_text('[\n{"data": {}, "annotations": []}]' if format == "label-studio" else "<a/>")
        assert main(["predict", str(photos[0]), "--format", format, "--out", str(tmp_path / "mine")]) == 2
        assert "not recognised as an earlier result" in capsys.readouterr().err
    assert main(["predict", str(photos[0]), "--format", "labelme"]) == 2
    assert "format labelme writes one file per image: name a folder with --out" in capsys.readouterr().err
