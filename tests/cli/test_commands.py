"""The command ``centerdet`` on images of one's own, as a user runs it."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap

import cv2
import numpy as np
import pytest

import centerdet
import main as main_script
from centerdet.box import yaw_error
from centerdet.cli.main import main
from centerdet.data import image_files, predict
from centerdet.data.config import read_data_config
from centerdet.data.image_io import read_image
from centerdet.data.labels import read_text
from examples import darts
from tests.helpers import BOXES, ROOT, write_dataset

SMALL = """
network: {widths: [8, 8], blocks: [1, 1]}
training: {steps: 4, warmup_steps: 1, validate_every: 2, log_every: 1, checkpoint_every: 2}
batch_size: 2
window: 64
augmentation: {flips: true, quarter_turns: true, rotation: 10}
"""


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Image files with ships, some without, and the labels."""
    folder = tmp_path_factory.mktemp("scenes")
    labels = {}
    for index, (image, box) in enumerate(centerdet.benchmark_scenes(8, 20)):
        cv2.imwrite(str(folder / f"{index:02}.png"), (image * 255).round().astype(np.uint8))
        labels[f"{index:02}.png"] = box
    return folder, labels


@pytest.fixture
def dataset(tmp_path):
    write_dataset(tmp_path, "yolo", split="train")
    return write_dataset(tmp_path, "yolo", boxes=[*BOXES[1:], None], split="validation")


def test_check_says_what_is_wrong_and_draws(dataset, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    assert main(["check", str(dataset), "--out", str(sheet)]) == 2  # the splits share images
    printed = capsys.readouterr()
    assert "the same image is in the split train" in printed.out
    assert re.fullmatch(r"error: faults in .*data\.yaml: \d+, listed above\n", printed.err)
    assert cv2.imread(str(sheet)).shape[0] > 100


def test_train_then_evaluate(dataset, tmp_path, capsys):
    config, run = tmp_path / "config.yaml", tmp_path / "run"
    config.write_text(SMALL)
    assert main(["train", str(dataset), "--config", str(config), "--out", str(run), "--device", "cpu"]) == 0
    detector = centerdet.load(run / "best.safetensors")
    extents = [np.sqrt(box.width * box.height) for box in BOXES if box]
    assert detector.codec.config.size_unit == pytest.approx(np.exp(np.mean(np.log(extents))), abs=0.1)
    page, scores = tmp_path / "report.html", tmp_path / "report.json"
    command = ["evaluate", str(dataset), "--split", "validation", "--weights", str(run / "best.safetensors")]
    assert main([*command, "--threshold", "0", "--report", str(page), "--json", str(scores)]) == 0
    assert "AP@0.7" in capsys.readouterr().out
    assert json.loads(scores.read_text())["samples"] == 4
    text = page.read_text()
    assert text.count("<svg") == 4
    assert text.count("data:image/jpeg;base64,") == 12  # four images in each of three galleries
    assert text.count("<figcaption>000.png: ") == 3
    assert not re.search(r'(src|href)="(?!data:|#)', text)  # it needs no other file


def test_train_starts_from_other_weights_and_goes_on(dataset, tmp_path):
    config, run = tmp_path / "config.yaml", tmp_path / "run"
    config.write_text(SMALL)
    assert main(["train", str(dataset), "--config", str(config), "--out", str(run), "--init", "shipped"]) == 0
    assert centerdet.load(run / "best.safetensors").network.config == centerdet.load().network.config
    assert main(["train", str(dataset), "--config", str(config), "--out", str(run)]) == 2  # it would be overwritten
    resumed = ["train", str(dataset), "--config", str(config), "--out", str(run), "--init", "shipped", "--resume"]
    assert main(resumed) == 0


def test_without_a_heading_the_axis_is_learned_and_said(tmp_path, capsys):
    data = write_dataset(tmp_path, "yolo", split="train")
    write_dataset(tmp_path, "yolo", split="validation")
    data.write_text(data.read_text() + "heading: false\n")
    config, run = tmp_path / "config.yaml", tmp_path / "run"
    config.write_text(SMALL)
    assert main(["train", str(data), "--config", str(config), "--out", str(run)]) == 0
    detector = centerdet.load(run / "best.safetensors", threshold=0.0)
    assert detector.detect(np.zeros((64, 64))).has_heading is False
    images, found = str(tmp_path / "validation" / "images"), tmp_path / "found.jsonl"
    command = ["--weights", str(run / "best.safetensors"), "--threshold", "0"]
    assert main(["predict", images, *command, "--format", "jsonl", "--out", str(found)]) == 0
    assert {json.loads(line)["heading"] for line in found.read_text().splitlines()} == {False}
    assert main(["evaluate", str(data), *command, "--split", "validation"]) == 0
    assert "axis within 30 deg" in capsys.readouterr().out


@pytest.mark.parametrize("format", ["csv", "jsonl", "yolo"])
def test_predict_answers_every_image_in_order(scenes, tmp_path, format):
    folder, labels = scenes
    out = tmp_path / "answers"
    assert main(["predict", str(folder), "--format", format, "--out", str(out)]) == 0
    detector = centerdet.load()
    images = [cv2.imread(str(folder / name), cv2.IMREAD_GRAYSCALE) for name in labels]
    wanted = detector.detect_batch(images)
    if format == "yolo":
        texts = [
            read_text(out / f"{name[:-4]}.txt", format="yolo", size=(200, 200), has_heading=True)[0] for name in labels
        ]
        found = [text[0].box if text else None for text in texts]
    elif format == "jsonl":
        lines = [json.loads(line) for line in out.read_text().splitlines()]
        assert [line["image"] for line in lines] == [(folder / name).as_posix() for name in labels]
        found = [line["box"] and centerdet.RotatedBox(**line["box"]) for line in lines]
    else:
        rows = [line.split(",") for line in out.read_text().splitlines()[1:]]
        assert [row[0] for row in rows] == [(folder / name).as_posix() for name in labels]
        found = [centerdet.RotatedBox(*map(float, row[1:6])) if row[1] else None for row in rows]
    assert [box is None for box in found] == [answer is None for answer in wanted]
    for box, answer in zip(found, wanted, strict=True):
        if box:
            np.testing.assert_allclose(box.to_array()[[0, 1, 3, 4]], answer.box.to_array()[[0, 1, 3, 4]], atol=1e-2)
            assert yaw_error(box.yaw, answer.box.yaw) < 1e-3


def test_predict_passes_over_what_it_cannot_read(scenes, tmp_path, capsys):
    folder, _ = scenes
    bad, wild = tmp_path / "bad.png", tmp_path / "wild.npy"
    bad.write_bytes(b"no image")
    np.save(wild, np.full((64, 64), 7.5))
    files = [str(folder / "00.png"), str(bad), str(wild), str(folder / "01.png")]
    assert main(["predict", *files, "--format", "jsonl", "--overlay", str(tmp_path / "pictures")]) == 2
    printed = capsys.readouterr()
    assert [json.loads(line)["image"] for line in printed.out.splitlines()] == [files[0], files[3]]
    assert "bad.png" in printed.err
    assert "wild.npy" in printed.err
    assert "2 of 4 images could not be used" in printed.err
    assert sorted(path.name for path in (tmp_path / "pictures").rglob("*.png")) == ["00.png", "01.png"]


def test_answers_are_named_as_the_images_are_and_overwrite_nothing(scenes, tmp_path, capsys, monkeypatch):
    folder, _ = scenes
    monkeypatch.chdir(tmp_path)
    for name in ("a/0.png", "a/b/0.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(folder / "00.png", tmp_path / name)
    assert main(["predict", "a", "--format", "yolo", "--out", "found", "--overlay", "pictures"]) == 0
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert found >= {"found/0.txt", "found/b/0.txt", "pictures/0.png", "pictures/b/0.png"}
    assert main(["predict", "a", "--overlay", "a"]) == 2
    assert "would overwrite" in capsys.readouterr().err
    shutil.copy(folder / "00.png", tmp_path / "a" / "0.jpg")
    assert main(["predict", "a", "--overlay", "pictures"]) == 2
    assert "would both be answered in" in capsys.readouterr().err


def test_predict_reads_no_more_images_than_it_needs(scenes, monkeypatch):
    folder, labels = scenes
    read = []
    monkeypatch.setattr(image_files, "read_image", lambda path: read.append(path) or read_image(path))
    answers = predict.answer(centerdet.load(), (folder / name for name in labels), failed=pytest.fail, batch_size=2)
    for count, (path, _, _) in enumerate(itertools.islice(answers, 5), start=1):
        assert path == folder / list(labels)[count - 1]
        assert len(read) == count + count % 2


def test_predict_takes_small_images(tmp_path):
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((20, 30), np.uint8))
    command = ["predict", str(tmp_path / "small.png"), "--overlay", str(tmp_path / "pictures"), "--threshold", "0"]
    assert main([*command, "--format", "yolo", "--out", str(tmp_path / "found")]) == 0
    assert cv2.imread(str(tmp_path / "pictures" / "small.png")).shape[:2] == (260, 390)
    assert len((tmp_path / "found" / "small.txt").read_text().split()) == 9


def test_an_exported_model_predicts_too(exported, scenes, tmp_path):
    folder, _ = scenes
    for weights in (exported[1], exported[1].with_name("weights.safetensors")):
        out = tmp_path / f"{weights.suffix}.csv"
        assert main(["predict", str(folder), "--weights", str(weights), "--threshold", "0", "--out", str(out)]) == 0
    onnx, torch = (
        np.loadtxt(tmp_path / f"{kind}.csv", delimiter=",", skiprows=1, usecols=range(1, 7))
        for kind in (".onnx", ".safetensors")
    )
    np.testing.assert_allclose(onnx, torch, atol=2e-3)


def test_a_reader_that_has_gone_is_no_error(dataset, tmp_path):
    page = tmp_path / "report.html"
    command = [sys.executable, "-m", "centerdet", "evaluate", str(dataset), "--split", "train", "--report", str(page)]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")
    assert page.exists()


def test_evaluate_says_where_the_data_and_the_weights_disagree(tmp_path, capsys):
    data = write_dataset(tmp_path, "yolo", split="test")
    text = data.read_text()
    data.write_text(f"{text}heading: false\n")  # known of the labels; the weights know more
    assert main(["evaluate", str(data)]) == 0
    assert "axis within 30 deg" in capsys.readouterr().out
    data.write_text(f"{text}intensity: [0, 4095]\n")
    assert main(["evaluate", str(data)]) == 2
    assert "says intensity [0.0, 4095.0], the weights were trained with None" in capsys.readouterr().err


def test_predict_needs_files_and_overwrites_none(scenes, tmp_path, capsys):
    shutil.copytree(scenes[0], tmp_path / "a" / "b")
    assert main(["predict", str(tmp_path / "a" / "*")]) == 2
    assert "no file, folder or match" in capsys.readouterr().err
    image = tmp_path / "a" / "b" / "00.png"
    content = image.read_bytes()
    assert main(["predict", str(image), "--out", str(image)]) == 2
    assert "the answers would overwrite" in capsys.readouterr().err
    assert image.read_bytes() == content


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["predict", "nowhere/*.png"], "no file, folder or match"),
        (["predict", "x", "--batch-size", "0"], "--batch-size must be at least 1"),
        (["predict", ".", "--format", "yolo"], "name a folder with --out"),
        (["check", "nowhere.yaml"], "nowhere.yaml"),
        (["train", "nowhere.yaml"], "nowhere.yaml"),
        (["evaluate", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_code_2(arguments, complaint, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("one.png", np.zeros((64, 64), np.uint8))
    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert complaint in printed
    assert printed.count("\n") == 1


def test_main_writes_the_page_too(tmp_path, capsys):
    page = tmp_path / "report.html"
    assert main_script.main(["--samples", "12", "--report", str(page)]) == 0
    assert "crossed by" in page.read_text()


def test_the_example_runs(tmp_path, capsys):
    run = tmp_path / "run"
    few = ["--steps", "2", "--validation", "6", "--samples", "6"]
    assert darts.main([*few, "--out", str(run), "--device", "cpu"]) == 0
    assert "AP@0.7" in capsys.readouterr().out
    assert centerdet.load(run / "best.safetensors").codec.config.size_unit == 30


def test_the_examples_box_is_where_its_dart_is():
    rng = np.random.default_rng(1)
    for image, box in (darts.draw(rng) for _ in range(20)):
        if box is not None:
            cos, sin = np.cos(box.yaw), np.sin(box.yaw)
            along = np.linspace(-0.45, 0.45, 30) * box.height  # down the middle, all dart
            x, y = np.round([box.x + along * sin, box.y + along * cos]).astype(int)
            inside = (x >= 0) & (x < darts.WIDTH) & (y >= 0) & (y < darts.HEIGHT)
            assert abs(image[y[inside], x[inside]].mean() - 0.35) > 0.07


@pytest.mark.parametrize("command", ["check", "train", "evaluate"])
def test_help_says_what_a_data_set_is(command, capsys, tmp_path):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = capsys.readouterr().out
    example = re.search(r"\n\n(    format: .*?)\n\n", text, re.DOTALL).group(1)
    (tmp_path / "data.yaml").write_text(textwrap.dedent(example))
    assert read_data_config(tmp_path / "data.yaml").intensity_range == (0, 4095)
