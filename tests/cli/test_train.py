"""``centerdet train``."""

import json
import re

import numpy as np
import pytest

import centerdet
from centerdet.cli.main import main
from tests.helpers import BOXES, write_dataset

SMALL = """
network: {channels: [8, 8], num_blocks: [1, 1]}
training: {steps: 4, warmup_steps: 1, validate_every: 2, log_every: 1, checkpoint_every: 2}
batch_size: 2
crop_size: 64
augmentation: {flips: true, quarter_turns: true, rotation: 10}
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(SMALL)
    return path


def test_the_result_can_be_evaluated(dataset, config, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["train", str(dataset), "--config", str(config), "--out", str(run), "--device", "cpu"]) == 0
    detector = centerdet.load(run / "best.safetensors")
    extents = [np.sqrt(box.width * box.height) for box in BOXES if box]
    assert detector.codec.config.size_unit == pytest.approx(np.exp(np.mean(np.log(extents))), abs=0.1)
    page, scores = tmp_path / "report.html", tmp_path / "report.json"
    command = ["evaluate", str(dataset), "--split", "validation", "--weights", str(run / "best.safetensors")]
    assert main([*command, "--threshold", "0", "--html-report", str(page), "--json", str(scores)]) == 0
    assert "AP@0.7" in capsys.readouterr().out
    assert json.loads(scores.read_text())["samples"] == 4
    text = page.read_text()
    assert text.count("<svg") == 4
    assert text.count("data:image/jpeg;base64,") == 12  # four images in each of three galleries
    assert text.count("<figcaption>000.png: ") == 3
    assert not re.search(r'(src|href)="(?!data:|#)', text)  # no reference to another file


def test_init_starts_from_other_weights_and_resume_continues(dataset, config, tmp_path):
    command = ["train", str(dataset), "--config", str(config), "--out", str(tmp_path / "run")]
    assert main([*command, "--init", "accurate"]) == 0
    trained = centerdet.load(tmp_path / "run" / "best.safetensors")
    assert trained.network.config == centerdet.load().network.config
    assert main(command) == 2  # without --resume, the run would be overwritten
    assert main([*command, "--init", "accurate", "--resume"]) == 0


def test_without_a_heading_detections_have_only_an_axis(config, tmp_path, capsys):
    data = write_dataset(tmp_path, "yolo", split="train")
    write_dataset(tmp_path, "yolo", split="validation")
    data.write_text(data.read_text() + "has_heading: false\n")
    run = tmp_path / "run"
    assert main(["train", str(data), "--config", str(config), "--out", str(run)]) == 0
    detector = centerdet.load(run / "best.safetensors", threshold=0.0)
    assert detector.detect(np.zeros((64, 64))).has_heading is False
    images, found = str(tmp_path / "validation" / "images"), tmp_path / "found.jsonl"
    weights = ["--weights", str(run / "best.safetensors"), "--threshold", "0"]
    assert main(["predict", images, *weights, "--format", "jsonl", "--out", str(found)]) == 0
    assert {json.loads(line)["has_heading"] for line in found.read_text().splitlines()} == {False}
    assert main(["evaluate", str(data), *weights, "--split", "validation"]) == 0
    assert "axis within 30 deg" in capsys.readouterr().out


def test_a_misspelt_setting_is_refused_before_any_work(tmp_path, capsys):
    assert main(["train", str(tmp_path / "data.yaml"), "--set", "training.stesp=9"]) == 2
    assert "unknown key 'training.stesp'; did you mean 'steps'?" in capsys.readouterr().err


def test_without_a_config_the_choices_and_the_progress_are_shown(tmp_path, capfd):
    data = write_dataset(tmp_path, "yolo", boxes=BOXES * 5)
    run, small = tmp_path / "run", ["network.channels=[8,8]", "network.num_blocks=[1,1]", "batch_size=1"]
    small += ["second_stage.images_per_block=16", "training.steps=24"]
    options = [word for setting in small for word in ("--set", setting)]
    assert main(["train", str(data), "--out", str(run), "--device", "cpu", "--patience", "99", *options]) == 0
    output, progress = capfd.readouterr()
    assert "to validate, taken from them by name: the data set has no validation split" in output
    assert "crop_size: 96 px, from the boxes; size_unit: " in output
    assert "settings chosen for this data set: batch_size 1, training.steps 24," in output
    assert "starts from random weights" in output
    assert re.search(r"[\d.]+ s a step: about 0:00:0\d to go", progress)
    assert "second_stage: 1 blocks of 16 crops, after the network; --set second_stage=null leaves it out" in output
    assert re.search(r"second stage: 0:00:\d\d  step \d+ \(100%\)  loss [\d.]+  AP@0.7", progress)
    assert re.search(r"0:00:\d\d  step 24 \(100%\)  loss [\d.]+  AP@0.7 [\d.]+ \(best [\d.]+\)", progress)


def test_impossible_limits_are_refused_before_any_work(tmp_path, capsys):
    for option, value, name in (("--max-minutes", "0", "max_minutes"), ("--patience", "many", "patience")):
        assert main(["train", str(tmp_path / "data.yaml"), option, value]) == 2
        assert name in capsys.readouterr().err
