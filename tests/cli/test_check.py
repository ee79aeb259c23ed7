"""``centerdet check``."""

import re

import cv2

from centerdet.cli.main import main
from tests.helpers import write_dataset


def test_errors_are_listed_and_labels_drawn(dataset, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    assert main(["check", str(dataset), "--out", str(sheet)]) == 2  # the splits share images
    printed = capsys.readouterr()
    assert "the same image is in the split train" in printed.out
    assert re.fullmatch(r"error: errors in .*data\.yaml: \d+, listed above\n", printed.err)
    assert cv2.imread(str(sheet)).shape[0] > 100


def test_a_correct_dataset_has_exit_code_0(tmp_path, capsys):
    data, sheet = write_dataset(tmp_path, "csv"), tmp_path / "sheet.png"
    assert main(["check", str(data), "--out", str(sheet), "--tiles", "1"]) == 0
    assert capsys.readouterr() == (f"no errors found\nlabels drawn to {sheet}\n", "")


def test_less_than_one_tile_is_refused(dataset, capsys):
    assert main(["check", str(dataset), "--tiles", "0"]) == 2
    assert "--tiles must be at least 1, got 0" in capsys.readouterr().err
