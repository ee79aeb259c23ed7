"""The labelled examples: complete, small, up to date, and the same boxes in each format."""

import numpy as np
import pytest

from centerdet.cli.main import main as centerdet_main
from centerdet.data.dataset import load_dataset
from centerdet.data.formats import READERS
from centerdet.data.validate import check_dataset
from examples.label_formats import main, make_boxes
from tests.helpers import ROOT, assert_same_box

FOLDER = ROOT / "examples" / "labels"


@pytest.mark.parametrize("format", READERS)
def test_every_format_has_the_same_boxes(format):
    items = load_dataset(FOLDER / format / "data.yaml", "train").items
    boxes = make_boxes()
    assert [item.path.name for item in items] == list(boxes)
    for item, box in zip(items, boxes.values(), strict=True):
        assert (item.box is None) == (box is None)
        if box:
            assert_same_box(item.box, box, turns=2 if format == "rolabelimg" else 1)


def test_check_draws_the_same_sheet_for_every_format(tmp_path, monkeypatch):
    sheets = []
    for format in READERS:
        errors, sheet = check_dataset(FOLDER / format / "data.yaml")
        assert errors == []
        if format != "rolabelimg":  # drawn with an axis
            sheets.append(sheet)
    assert all(np.array_equal(sheet, sheets[0]) for sheet in sheets)
    monkeypatch.chdir(tmp_path)
    assert centerdet_main(["check", str(FOLDER / "cvat" / "data.yaml")]) == 0


def test_the_examples_are_what_the_script_writes(tmp_path):
    assert main(["--out", str(tmp_path)]) == 0
    written = {path.relative_to(tmp_path): path for path in tmp_path.rglob("*") if path.is_file()}
    kept = {path.relative_to(FOLDER): path for path in FOLDER.rglob("*") if path.is_file()}
    assert written.keys() == kept.keys()
    assert all(path.read_bytes() == kept[name].read_bytes() for name, path in written.items() if name.suffix != ".png")
    assert sum(path.stat().st_size for path in kept.values()) < 300_000
