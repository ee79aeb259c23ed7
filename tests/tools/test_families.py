"""The families of images that training is measured on: labels match pixels, splits share nothing."""

import hashlib

import cv2
import numpy as np
import pytest

from centerdet import RotatedBox
from centerdet.box import paired_iou
from centerdet.cli.main import main as centerdet_main
from centerdet.data.dataset import load_dataset
from tools import make_family
from tools.families import FAMILIES, cutout, filled, scene, thin

BOX = RotatedBox(83.3, 71.6, 0.7, 40.0, 66.0)
SHAPE = (160, 170)


def in_box_axes(mask, box):
    """The pixels of a mask as (u, v) in the axes of a box, px."""
    y, x = np.nonzero(mask > 0.5)
    x, y = x - box.x, y - box.y
    cos, sin = np.cos(box.yaw), np.sin(box.yaw)
    return x * cos - y * sin, x * sin + y * cos  # the inverse of the turn in ``box.py``


def assert_fills(mask, box, tolerance):
    """The mask reaches to all four sides of the box, and not beyond."""
    for extent, side in zip(in_box_axes(mask, box), (box.width, box.height), strict=True):
        assert extent.min() == pytest.approx(-side / 2, abs=tolerance)
        assert extent.max() == pytest.approx(side / 2, abs=tolerance)


@pytest.mark.parametrize("outline", [*thin.OUTLINES, *filled.OUTLINES])
@pytest.mark.parametrize("thickness", [None, 1.5])
def test_an_outline_touches_all_sides_of_its_box(outline, thickness):
    points = scene.draw_outline(np.random.default_rng(3), outline, jitter=0.03)
    assert_fills(scene.mask_outline(points, BOX, SHAPE, thickness=thickness), BOX, 2.0)


@pytest.mark.parametrize("thing", cutout.CUTOUTS, ids=lambda thing: thing.photograph)
def test_a_cutout_touches_all_sides_of_its_box(thing):
    pixels, mask = cutout.cut_out(thing)
    box = RotatedBox(80, 75, -2.1, 60.0, 60.0 * mask.shape[0] / mask.shape[1])
    moved, moved_mask = cutout._place(pixels, mask, box, SHAPE)
    assert_fills(moved_mask, box, 2.0)
    inside = moved_mask > 0.99
    assert moved[inside].mean() == pytest.approx(pixels[mask > 0].mean(), abs=0.02)


def test_the_heading_of_the_cutouts_is_what_they_say():
    """At yaw 0 the nose is down: the brightest part of the eye, its optic disc, lies in the lower half."""
    pixels, mask = cutout.cut_out(cutout.CUTOUTS[2])
    moved, _ = cutout._place(pixels, mask, RotatedBox(80, 80, 0.0, 100, 100), (160, 160))
    rows = np.nonzero(moved > np.quantile(moved[30:130, 30:130], 0.99))[0]
    assert np.median(rows) > 110


@pytest.mark.parametrize("family", FAMILIES)
def test_images_differ_where_the_box_is_and_nowhere_else(family, monkeypatch):
    """The same random numbers with an object and with one that is invisible."""
    module = {"thin": thin, "filled": filled, "cutout": cutout}[family]
    seen = 0
    for seed in range(6):
        image, box = FAMILIES[family](np.random.default_rng(seed))
        if box is None:
            continue
        with monkeypatch.context() as patch:
            if family == "cutout":
                patch.setattr(module, "_place", lambda *_: (0.0, 0.0))
            else:
                patch.setattr(module, "mask_outline", lambda _, __, shape, thickness: np.zeros(shape, np.float32))
            empty, _ = FAMILIES[family](np.random.default_rng(seed))
        changed = np.abs(image.astype(int) - empty) > 12
        u, v = in_box_axes(changed, box)
        assert np.abs(u).max() < box.width / 2 + 4
        assert np.abs(v).max() < box.height / 2 + 4
        assert changed.sum() > 30
        seen += 1
    assert seen >= 3


@pytest.mark.parametrize(("family", "low", "high"), [("thin", 45, 115), ("filled", 34, 80), ("cutout", 45, 110)])
def test_sizes_headings_and_empty_images(family, low, high):
    rng = np.random.default_rng(5)
    scenes = [FAMILIES[family](rng) for _ in range(40)]
    boxes = [box for _, box in scenes if box is not None]
    assert 2 <= len(scenes) - len(boxes) <= 16
    longer = [max(box.width, box.height) for box in boxes]
    assert low <= min(longer) < low + 15
    assert high - 15 < max(longer) <= high
    assert {image.dtype for image, _ in scenes} == {np.dtype(np.uint8)}
    sides = [side for image, _ in scenes for side in image.shape]
    assert min(sides) >= 160
    assert max(sides) <= 256
    assert max(sides) > 230
    assert np.ptp([box.yaw for box in boxes]) > 5


def test_a_data_set_is_valid_disjoint_and_grows_without_changes(tmp_path, capsys):
    few, more = tmp_path / "few", tmp_path / "more"
    for folder, count in ((few, "3"), (more, "5")):
        numbers = ["--num-samples", count, "--validation", "2", "--test", "4", "--seed", "9"]
        arguments = ["thin", *numbers, "--out", str(folder)]
        assert make_family.main(arguments) == 0
    assert centerdet_main(["check", str(more / "data.yaml"), "--out", str(tmp_path / "sheet.png")]) == 0
    files = sorted(more.glob("*/*.png"))
    assert len(files) == 11
    assert len({hashlib.sha256(path.read_bytes()).digest() for path in files}) == 11
    for path in sorted(few.glob("*/*.png")):
        assert path.read_bytes() == (more / path.relative_to(few)).read_bytes()
    _, expected = FAMILIES["thin"](np.random.default_rng([9, 0, 2, 1]))
    image, box = load_dataset(more / "data.yaml", "test")[1]
    assert (box is None) == (expected is None)
    if box:
        assert paired_iou(box.to_array()[None], expected.to_array()[None])[0] > 0.9999
    assert np.array_equal(image, cv2.imread(str(more / "test" / "00001.png"), cv2.IMREAD_UNCHANGED))
    assert "5 images to train" in capsys.readouterr().out


def exit_code(arguments):
    try:
        return make_family.main(arguments)
    except SystemExit as stop:
        return stop.code


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["thin", "--num-samples", "0", "--out", "new"], "--num-samples must be at least 1, got 0"),
        (["thin", "--seed", "-1", "--out", "new"], "--seed must be at least 0, got -1"),
        (["thin", "--out", "full"], "full exists already"),
        (["fat", "--out", "new"], "invalid choice: 'fat'"),
    ],
)
def test_wrong_options_are_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    assert exit_code(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "new").exists()
