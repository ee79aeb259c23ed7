"""``main.py``: the score, its rows and its files."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

import centerdet
import main
from tests.helpers import ROOT, make_detector

NETWORK, REFINED = "network alone", "with refinement"


def scores_of(seed, count, **options):
    """The official scores of the accurate weights, sample by sample."""
    detector, scores = centerdet.load(), []
    np.random.seed(seed)
    for _ in range(count):
        image, label = centerdet.make_data()
        detection = detector.detect(image, **options)
        scores.append(centerdet.score_iou(np.full(5, np.nan) if detection is None else detection.box.to_array(), label))
    return [score for score in scores if score is not None]


def test_both_rows_are_the_official_scores(tmp_path, capsys):
    path = tmp_path / "report.json"
    assert main.main(["--num-samples", "24", "--seed", "3", "--json", str(path)]) == 0
    printed, written = capsys.readouterr().out, json.loads(path.read_text())
    for name, options in ((NETWORK, {}), (REFINED, {"refine": True})):
        scores = scores_of(3, 24, **options)
        expected = np.mean([score > 0.7 for score in scores])
        assert written["rows"][name]["ap"] == pytest.approx(expected)
        assert written["rows"][name]["scored"] == len(scores)
        assert re.search(rf"^{name} +{expected:.4f} ", printed, re.MULTILINE)
    assert written["rows"][REFINED].items() <= written.items()  # the last row is the file's own
    assert (written["seed"], written["samples"]) == (3, 24)
    assert written["rows"][NETWORK]["threshold"] == centerdet.load().threshold
    for name in ("95 % interval", "AP@[.5:.95]", "mean IoU", "heading", "false alarms", "misses", "images/s"):
        assert name in printed


def test_without_refinement_there_is_one_row(tmp_path, capsys):
    path = tmp_path / "report.json"
    assert main.main(["--num-samples", "12", "--no-refine", "--json", str(path)]) == 0
    printed = capsys.readouterr().out
    assert NETWORK in printed
    assert REFINED not in printed
    assert list(json.loads(path.read_text())["rows"]) == [NETWORK]


def test_weights_without_refinement_have_one_row(tmp_path, capsys):
    make_detector().save(tmp_path / "weights.safetensors")
    assert main.main(["--num-samples", "2", "--weights", str(tmp_path / "weights.safetensors")]) == 0
    assert REFINED not in capsys.readouterr().out


def test_two_processes_print_the_same_scores(capsys):
    arguments = ["--num-samples", "12", "--seed", "3", "--device", "cpu", "--no-refine"]
    assert main.main(arguments) == 0
    command = [sys.executable, ROOT / "main.py", *arguments]
    again = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    printed = [re.sub(r" +\d+$| +images/s$", "", text, flags=re.MULTILINE) for text in (capsys.readouterr().out, again)]
    assert printed[0] == printed[1]
    assert NETWORK in printed[0]


def test_the_errors_are_analysed(capsys):
    assert main.main(["--num-samples", "40", "--threshold", "1", "--error-analysis", "--no-refine"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"missed +\d+ +100\.00%", printed)
    assert "cut by the border" in printed


def test_weights_and_threshold_are_taken_from_the_command_line(tmp_path, capsys):
    path = tmp_path / "copy.safetensors"
    centerdet.load().save(path)
    assert main.main(["--num-samples", "8", "--weights", str(path), "--threshold", "1"]) == 0
    assert re.search(rf"{NETWORK} +0\.0000", capsys.readouterr().out)


def test_the_html_report_analyses_the_errors(tmp_path):
    page = tmp_path / "report.html"
    assert main.main(["--num-samples", "12", "--no-refine", "--html-report", str(page)]) == 0
    assert "crossed by" in page.read_text()
