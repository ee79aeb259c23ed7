"""The check of a data set finds all errors in one run."""

import cv2
import numpy as np
import pytest

from centerdet import RotatedBox
from centerdet.data.validate import check_dataset
from tests.helpers import BOXES, draw_8bit, write_dataset


def test_a_correct_dataset_has_no_error(tmp_path):
    assert check_dataset(write_dataset(tmp_path, "dota"))[0] == []


def test_all_errors_are_listed_in_one_run(tmp_path):
    path = write_dataset(tmp_path, "csv")
    write_dataset(tmp_path, "csv", split="test")  # the same images again
    train = tmp_path / "train"
    (train / "images" / "003.png").write_bytes(b"broken")
    lines = (train / "labels.csv").read_text().splitlines()
    lines[1] = "000.png,500,40,0.3,20,40"  # outside
    lines[2] = "001.png,30,60,-2,0,30"  # zero size
    lines.append("ghost.png,1,1,0,5,5")
    (train / "labels.csv").write_text("\n".join(lines))
    errors, sheet = check_dataset(path)
    text = "\n".join(errors)
    for expected in ("outside the image", "line 3", "ghost.png", "cannot read", "the same image is in the split train"):
        assert expected in text
    assert sheet is not None
    assert sheet.shape[2] == 3


def test_an_image_in_two_splits_is_an_error(tmp_path):
    path = write_dataset(tmp_path, "csv")
    write_dataset(tmp_path, "csv", boxes=[RotatedBox(70, 50, 1, 20, 30)], split="test")
    assert check_dataset(path)[0] == []
    cv2.imwrite(str(tmp_path / "test" / "images" / "again.bmp"), draw_8bit(BOXES[3]))
    labels = tmp_path / "test" / "labels.csv"
    labels.write_text(labels.read_text() + "again.bmp,,,,,\n")
    (error,) = check_dataset(path)[0]
    assert "again.bmp: the same image is in the split train" in error
    assert "003.png" in error


def test_images_are_read_even_if_no_label_can_be_read(tmp_path):
    path = write_dataset(tmp_path, "csv")
    (tmp_path / "train" / "labels.csv").write_text("a,b\n")
    (tmp_path / "train" / "images" / "003.png").write_bytes(b"broken")
    errors, _ = check_dataset(path)
    assert len(errors) == 2
    assert "must begin with the line image," in errors[0]
    assert "cannot read" in errors[1]


def test_images_are_read_even_if_their_labels_have_errors(tmp_path):
    path = write_dataset(tmp_path, "csv")
    write_dataset(tmp_path, "csv", boxes=BOXES[:1], split="test")
    images, labels = tmp_path / "train" / "images", tmp_path / "train" / "labels.csv"
    (images / "003.png").write_bytes(b"broken")
    rows = labels.read_text().splitlines()
    labels.write_text("\n".join([rows[0], "000.png,60,40,0.3,a,40", *rows[2:4]]))
    errors, _ = check_dataset(path)
    assert len(errors) == 4
    for error, expected in zip(
        errors, ["line 2: 'a'", "003.png: it has no row", "cannot read", "same image"], strict=True
    ):
        assert expected in error


def test_images_of_any_shape_are_drawn(tmp_path):
    path = write_dataset(tmp_path, "yolo", boxes=[None], shape=(3, 4000))
    errors, sheet = check_dataset(path)
    assert errors == []
    assert sheet.shape[1] > 300


@pytest.mark.parametrize("format", ["csv", "yolo"])
def test_an_error_is_reported_once(tmp_path, format):
    path = write_dataset(tmp_path, format)
    (tmp_path / "train" / "images" / "001.png").write_bytes(b"broken")
    (error,) = check_dataset(path)[0]
    assert "cannot read" in error


def test_dark_images_are_an_error(tmp_path):
    path = write_dataset(tmp_path, "yolo", boxes=[None])
    cv2.imwrite(str(tmp_path / "train" / "images" / "000.png"), np.full((70, 80), 4095, np.uint16))
    (error,) = check_dataset(path)[0]
    assert "pixels reach only 0.062 of the full scale, and should reach 0.2" in error
    assert "give the values that become 0 and 1 ('intensity_range' in the data set's file)" in error
    path.write_text(path.read_text() + "intensity_range: [0, 4095]\n")
    assert check_dataset(path)[0] == []
