"""tools/compare_learning.py: parts of data sets, resumption, means and intervals, table and picture."""

import json
import re

import cv2
import numpy as np
import pytest

from centerdet.data.dataset import load_dataset
from tests.helpers import BOXES, write_dataset
from tools import compare_learning
from tools._learning import Run, Score, average
from tools._subset import write_subset

SCORE = Score(ap=0.5, ap_error=0.01, ap_mean=0.3, ap_mean_error=0.02, misses=1, false_alarms=2, cpu_minutes=3.0)
TINY = [
    "training.steps=2",
    "training.warmup_steps=1",
    "network.channels=[8,8]",
    "network.num_blocks=[1,1]",
    "second_stage=null",
]


@pytest.fixture
def data(tmp_path):
    for split, boxes in (("train", BOXES * 3), ("validation", BOXES), ("test", BOXES[1:])):
        path = write_dataset(tmp_path / "set", "yolo", boxes, split=split)
    return path


@pytest.fixture
def fake(monkeypatch):
    """Replaces training; the list has the runs that were done, and the fifth call fails."""
    calls = []

    def run_once(run, folder, *, device):
        calls.append(run)
        if len(calls) == 5:
            raise ValueError("stopped")
        return SCORE

    monkeypatch.setattr(compare_learning, "run_once", run_once)
    return calls


def test_finished_runs_are_not_repeated(fake, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["a/data.yaml", "b/data.yaml", "--labels", "5", "20", "--seeds", "0", "1", "--out", str(out)]
    arguments += ["--init", "generic", "none"]
    assert compare_learning.main(arguments) == 2
    assert "stopped" in capsys.readouterr().err
    assert len((out / "results.jsonl").read_text().splitlines()) == 4
    assert compare_learning.main(arguments) == 0
    assert len(fake) == 17  # 16 runs, and the one that failed
    assert len(set(fake)) == 16
    assert compare_learning.main([*arguments, "--minutes", "2"]) == 0
    assert len(fake) == 33  # other runs
    assert compare_learning.main(arguments) == 0
    assert len(fake) == 33
    printed = capsys.readouterr().out
    assert "| a/data.yaml | 20 | 0.500 ± 0.020 / 0.300 ± 0.039 | 0.500 ± 0.020" in printed
    assert cv2.imread(str(out / "curves.png")).std() > 10


def test_a_picture_that_cannot_be_written_does_not_cost_the_table(fake, tmp_path, capsys):
    arguments = ["a/data.yaml", "--labels", "5", "--seeds", "0", "--out", str(tmp_path)]
    assert compare_learning.main(arguments) == 0
    capsys.readouterr()
    (tmp_path / "curves.png").unlink()
    (tmp_path / "curves.png").mkdir()
    assert compare_learning.main(arguments) == 2
    printed = capsys.readouterr()
    assert "| a/data.yaml | 5 | 0.500 ± " in printed.out
    assert re.search(r"error: cannot write .*curves.png: Is a directory", printed.err)


def test_runs_have_folders_of_their_own():
    runs = [
        Run(data=data, labels=labels, init="none", seed=0, minutes=minutes, settings=settings)
        for data in ("a/data.yaml", "b/data.yaml")
        for labels in (1, 2)
        for minutes in (None, 1.0)
        for settings in ((), ("x=1",))
    ]
    assert len({run.name for run in runs}) == 16


def test_a_part_of_a_data_set_has_the_same_images_and_boxes(data, tmp_path):
    whole = load_dataset(data, "train")
    sources = {item.path.resolve(): item.box for item in whole.items}
    few, more, other = (
        load_dataset(write_subset(data, tmp_path / name, labels=labels, seed=seed), "train")
        for name, labels, seed in (("few", 3, 0), ("more", 7, 0), ("other", 7, 1))
    )
    chosen = [{item.path.resolve() for item in part.items} for part in (few, more, other)]
    assert [len(part) for part in chosen] == [3, 7, 7]
    assert chosen[0] < chosen[1] != chosen[2]
    for item in more.items:
        box = sources[item.path.resolve()]
        assert (item.box is None) == (box is None)
        if box:
            assert item.box.to_array() == pytest.approx(box.to_array(), abs=1e-4)
    validation = load_dataset(tmp_path / "few" / "data.yaml", "validation")
    assert [item.path.resolve() for item in validation.items] == [
        item.path.resolve() for item in load_dataset(data, "validation").items
    ]


def test_a_run_trains_and_is_scored_on_the_test_split(data, tmp_path, capsys):
    out, settings = tmp_path / "out", [part for text in TINY for part in ("--set", text)]
    arguments = [str(data), "--labels", "4", "--seeds", "3", "--init", "none", "--out", str(out), *settings]
    assert compare_learning.main([*arguments, "--device", "cpu"]) == 0
    (line,) = (out / "results.jsonl").read_text().splitlines()
    result = json.loads(line)
    assert result["run"]["settings"] == TINY
    assert 0 <= result["score"]["ap"] <= 1
    assert result["score"]["misses"] <= 2
    assert "| 4 | " in capsys.readouterr().out


def test_the_interval_has_the_images_and_the_seeds():
    assert average([(0.5, 0.01)]) == pytest.approx((0.5, 1.96 * 0.01), abs=1e-5)
    mean, half = average([(0.5, 0.01), (0.6, 0.01)])
    assert (mean, half) == pytest.approx((0.55, 1.96 * np.sqrt(1e-4 + 0.005 / 2)), abs=1e-5)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{}", "no result of a run"), ("nonsense", "cannot read"), (None, "has files and no results.jsonl")],
)
def test_a_folder_with_other_files_is_refused(content, message, tmp_path, capsys):
    (tmp_path / ("notes.txt" if content is None else "results.jsonl")).write_text(content or "")
    assert compare_learning.main(["a/data.yaml", "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_more_labels_than_images_are_refused(data, tmp_path, capsys):
    assert compare_learning.main([str(data), "--labels", "13", "--out", str(tmp_path / "out")]) == 2
    assert "--labels must lie in 1..12" in capsys.readouterr().err
