"""Splits of a data set: which images belong to them, and the errors in their labels."""

import re

import numpy as np
import pytest

from centerdet import RotatedBox, score_iou
from centerdet.data.dataset import load_dataset
from centerdet.data.validate import check_dataset
from centerdet.data.yolo_obb import format_line
from tests.helpers import BOXES, write_dataset, write_images


def test_two_objects_are_an_error_or_the_largest_is_kept(tmp_path):
    path = write_dataset(tmp_path, "yolo")
    small = RotatedBox(20, 20, 0, 8, 9)
    labels = tmp_path / "train" / "labels" / "000.txt"
    labels.write_text(labels.read_text() + format_line(small, size=(128, 96)) + "\n")
    with pytest.raises(ValueError, match=r"000\.txt, line 2: a second object in 000\.png"):
        load_dataset(path, "train")
    path.write_text(path.read_text() + "multiple_objects: largest\n")
    assert score_iou(load_dataset(path, "train")[0][1], BOXES[0]) > 0.999


@pytest.mark.parametrize("format", ["csv", "yolo", "dota"])
def test_the_error_for_an_object_outside_its_image_names_file_and_line(tmp_path, format):
    path = write_dataset(tmp_path, format, boxes=[BOXES[0], RotatedBox(60, 96, 0, 20, 30)])
    place = r"labels\.csv, line 3" if format == "csv" else r"001\.txt, line 1"
    message = rf"{place}: the object's centre \(60, 96\) is outside the image 001\.png, 128 x 96 px"
    with pytest.raises(ValueError, match=message):
        load_dataset(path, "train")
    (error,) = check_dataset(path)[0]
    assert re.search(message, error)


def write_one_folder(root, format, count=40):
    """Writes one folder of images, and a data set that takes three splits from it."""
    rng = np.random.default_rng(0)
    boxes = [RotatedBox(*rng.uniform(30, 60, 2), 0.3, 20, 40) for _ in range(count)]
    path = write_dataset(root, format, boxes=boxes)
    path.write_text(path.read_text() + "held_out: {validation: 0.2, test: 0.3}\n")
    return path


@pytest.mark.parametrize("format", ["csv", "yolo"])
def test_held_out_images_are_always_the_same(tmp_path, format):
    path = write_one_folder(tmp_path, format)
    assert check_dataset(path)[0] == []
    train, validation, test = (load_dataset(path, split).items for split in ("train", "validation", "test"))
    assert len({item.path for item in train + validation + test}) == len(train + validation + test) == 40
    assert len(train) > len(validation) > 2
    assert len(test) > 2
    assert train == load_dataset(path, "train").items
    validation[0].path.unlink()
    assert len(check_dataset(path)[0]) == 1  # a label without an image, reported once


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("held_out: {validation: 1.0}", "leave something to train on"),
        ("held_out: {test: -0.1}", "leave something to train on"),
        ("held_out: {validation: 0.1}\nvalidation: {images: a, labels: b}", "no validation beside it"),
        ("held_out: {tset: 0.1}", "did you mean 'test'"),
    ],
)
def test_wrong_held_out_fractions_are_refused(tmp_path, line, complaint):
    path = write_dataset(tmp_path, "csv")
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(ValueError, match=complaint):
        load_dataset(path, "train")


def test_a_held_out_split_without_images_is_refused(tmp_path):
    path = write_dataset(tmp_path, "csv")
    path.write_text(path.read_text() + "held_out: {validation: 0.0001}\n")
    with pytest.raises(ValueError, match="is left for the validation split"):
        load_dataset(path, "validation")


def test_splits_may_share_a_csv_file(tmp_path):
    path = write_dataset(tmp_path, "csv")
    write_dataset(tmp_path, "csv", boxes=[RotatedBox(70, 50, 1, 20, 30)], split="test")
    (tmp_path / "test" / "images" / "000.png").rename(tmp_path / "test" / "images" / "other.png")
    table = tmp_path / "train" / "labels.csv"
    table.write_text(table.read_text() + "other.png,70,50,1,20,30\nghost.png,,,,,\n")
    path.write_text(path.read_text().replace("test/labels.csv", "train/labels.csv"))
    errors, _ = check_dataset(path)
    assert [error.partition(": ")[2] for error in errors] == [
        f"there is no image ghost.png in {tmp_path / split / 'images'}; remove the row, or add the image"
        for split in ("train", "test")
    ]


def test_a_csv_file_with_other_names_is_one_error(tmp_path):
    path = write_dataset(tmp_path, "csv")
    table = tmp_path / "train" / "labels.csv"
    table.write_text(table.read_text().replace("00", "images/00"))
    (error,) = check_dataset(path)[0]
    assert "names must be relative to the folder of a split's images, as '000.png', got 'images/000.png'" in error
    path.write_text(path.read_text() + "held_out: {validation: 0.3, test: 0.3}\n")
    assert len([error for error in check_dataset(path)[0] if "names no image" in error]) == 1


@pytest.mark.parametrize("format", ["csv", "yolo"])
def test_a_label_for_images_of_two_splits_is_an_error(tmp_path, format):
    path = write_dataset(tmp_path, format)
    write_images(tmp_path / "test" / "images", [RotatedBox(70, 50, 1, 20, 30)])
    labels = "labels.csv" if format == "csv" else "labels"
    path.write_text(path.read_text() + f"test: {{images: test/images, labels: ./train/{labels}}}\n")
    (error,) = check_dataset(path)[0]
    images = [tmp_path / split / "images" / "000.png" for split in ("train", "test")]
    assert f"has one label for {images[0]} and {images[1]}" in error
    (tmp_path / "test" / "images").rename(tmp_path / "away")
    with pytest.raises(ValueError, match="there is no folder .*test/images"):
        load_dataset(path, "train")


def test_classes_txt_is_ignored(tmp_path):
    path = write_dataset(tmp_path, "yolo")
    (tmp_path / "train" / "labels" / "classes.txt").write_text("ship\n")
    assert check_dataset(path)[0] == []
    (tmp_path / "train" / "labels" / "other.txt").write_text("")
    (error,) = check_dataset(path)[0]
    assert "other.txt: there is no such image" in error


def test_the_error_for_a_missing_split_names_it(tmp_path):
    with pytest.raises(ValueError, match="no test split"):
        load_dataset(write_dataset(tmp_path, "csv"), "test")
