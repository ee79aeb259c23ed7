"""``centerdet predict``."""

import json
import shutil

import cv2
import numpy as np
import pytest

import centerdet
from centerdet.box import yaw_error
from centerdet.cli.main import main
from centerdet.data.labels import ErrorCollector
from centerdet.data.yolo_obb import read_file


def read_yolo(path):
    labels = read_file(path, size=(200, 200), has_heading=True, errors=ErrorCollector())
    return labels[0].box if labels else None


@pytest.mark.parametrize("format", ["csv", "jsonl", "yolo"])
def test_every_image_has_a_result_in_order(images, tmp_path, format):
    folder, names = images
    out = tmp_path / "results"
    assert main(["predict", str(folder), "--format", format, "--out", str(out)]) == 0
    expected = centerdet.load().detect_batch([cv2.imread(str(folder / name), cv2.IMREAD_GRAYSCALE) for name in names])
    if format == "yolo":
        found = [read_yolo(out / f"{name[:-4]}.txt") for name in names]
    elif format == "jsonl":
        lines = [json.loads(line) for line in out.read_text().splitlines()]
        assert [line["image"] for line in lines] == [(folder / name).as_posix() for name in names]
        found = [line["box"] and centerdet.RotatedBox(**line["box"]) for line in lines]
    else:
        rows = [line.split(",") for line in out.read_text().splitlines()[1:]]
        assert [row[0] for row in rows] == [(folder / name).as_posix() for name in names]
        found = [centerdet.RotatedBox(*map(float, row[1:6])) if row[1] else None for row in rows]
    assert [box is None for box in found] == [detection is None for detection in expected]
    for box, detection in zip(found, expected, strict=True):
        if box:
            np.testing.assert_allclose(box.to_array()[[0, 1, 3, 4]], detection.box.to_array()[[0, 1, 3, 4]], atol=1e-2)
            assert yaw_error(box.yaw, detection.box.yaw) < 1e-3


def test_unreadable_files_are_reported_and_skipped(images, tmp_path, capsys):
    folder, _ = images
    bad, wild = tmp_path / "bad.png", tmp_path / "wild.npy"
    bad.write_bytes(b"no image")
    np.save(wild, np.full((64, 64), 7.5))
    files = [str(folder / "00.png"), str(bad), str(wild), str(folder / "01.png")]
    assert main(["predict", *files, "--format", "jsonl", "--save-images", str(tmp_path / "pictures")]) == 2
    printed = capsys.readouterr()
    assert [json.loads(line)["image"] for line in printed.out.splitlines()] == [files[0], files[3]]
    assert "bad.png" in printed.err
    assert "wild.npy" in printed.err
    assert "2 of 4 images could not be used" in printed.err
    assert sorted(path.name for path in (tmp_path / "pictures").rglob("*.png")) == ["00.png", "01.png"]


def test_small_images_are_padded_and_their_pictures_are_not(tmp_path):
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((20, 30), np.uint8))
    command = ["predict", str(tmp_path / "small.png"), "--save-images", str(tmp_path / "pictures"), "--threshold", "0"]
    assert main([*command, "--format", "yolo", "--out", str(tmp_path / "found")]) == 0
    assert cv2.imread(str(tmp_path / "pictures" / "small.png")).shape[:2] == (260, 390)
    assert len((tmp_path / "found" / "small.txt").read_text().split()) == 9


def test_an_exported_model_gives_the_same_results(exported, images, tmp_path):
    folder, _ = images
    for weights in (exported[1], exported[1].with_name("weights.safetensors")):
        out = tmp_path / f"{weights.suffix}.csv"
        assert main(["predict", str(folder), "--weights", str(weights), "--threshold", "0", "--out", str(out)]) == 0
    onnx, torch = (
        np.loadtxt(tmp_path / f"{kind}.csv", delimiter=",", skiprows=1, usecols=range(1, 7))
        for kind in (".onnx", ".safetensors")
    )
    np.testing.assert_allclose(onnx, torch, atol=2e-3)


def test_files_are_needed_and_never_overwritten(images, tmp_path, capsys):
    shutil.copytree(images[0], tmp_path / "a" / "b")
    assert main(["predict", str(tmp_path / "a" / "*")]) == 2
    assert "no file, folder or match" in capsys.readouterr().err
    image = tmp_path / "a" / "b" / "00.png"
    content = image.read_bytes()
    assert main(["predict", str(image), "--out", str(image)]) == 2
    assert "it would overwrite the input" in capsys.readouterr().err
    assert image.read_bytes() == content
