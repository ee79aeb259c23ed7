"""Datasets from folders of images and labels."""

import math

import numpy as np
import pytest

from centerdet import RotatedBox, score_iou
from centerdet.box import yaw_error
from centerdet.data import dataset as module
from centerdet.data.dataset import load_dataset
from centerdet.data.validate import check_dataset
from tests.helpers import BOXES, write_dataset


@pytest.mark.parametrize("format", ["csv", "yolo", "dota"])
def test_a_dataset_returns_the_images_and_boxes_that_were_written(tmp_path, format):
    dataset = load_dataset(write_dataset(tmp_path, format), "train")
    assert len(dataset) == len(BOXES)
    for (image, found), box in zip(dataset, BOXES, strict=True):
        assert image.shape == (96, 128)
        assert image.dtype == np.uint8
        assert (found is None) == (box is None)
        if box:
            distance = np.abs(found.to_array() - box.to_array())
            assert distance[[0, 1, 3, 4]].max() < 0.05
            assert math.degrees(yaw_error(found.yaw, box.yaw)) < 0.1


def test_small_images_are_padded_to_64_px(tmp_path):
    box = RotatedBox(40, 20, 0.3, 10, 20)
    path = write_dataset(tmp_path, "yolo", boxes=[box], shape=(40, 70))
    assert check_dataset(path)[0] == []
    ((image, found),) = load_dataset(path, "train")
    assert image.shape == (64, 70)
    assert image[40:].max() == 0
    assert score_iou(found, box) > 0.999


def test_without_a_heading_csv_labels_give_axes(tmp_path):
    path = write_dataset(tmp_path, "csv")
    path.write_text(path.read_text() + "has_heading: false\n")
    for (_, found), box in zip(load_dataset(path, "train"), BOXES, strict=True):
        if box:
            assert score_iou(found, box) > 0.999
            assert -math.pi / 2 < found.yaw <= math.pi / 2
            assert yaw_error(2 * found.yaw, 2 * box.yaw) < 1e-6


def test_the_error_for_pixels_outside_the_range_names_the_file(tmp_path):
    path = write_dataset(tmp_path, "yolo")
    np.save(tmp_path / "train" / "images" / "004.npy", np.full((80, 80), 4095.0))
    with pytest.raises(ValueError, match=r"004\.npy: floating-point pixels must lie in \[0, 1\], got 4095"):
        load_dataset(path, "train")[4]
    path.write_text(path.read_text() + "intensity_range: [0, 4095]\n")
    assert load_dataset(path, "train")[4][0].max() == 4095


def test_cached_images_are_read_once_as_far_as_there_is_room(tmp_path, monkeypatch):
    path = write_dataset(tmp_path, "yolo")
    plain = load_dataset(path, "train")
    reads, read = [], module.read_usable
    monkeypatch.setattr(module, "read_usable", lambda file, check: reads.append(file.name) or read(file, check))
    size = plain[0][0].nbytes
    cached = plain.cached(2 * size)
    for _ in range(3):
        for index in range(3):
            (image, box), (expected, expected_box) = cached[index], plain[index]
            np.testing.assert_array_equal(image, expected)
            assert box == expected_box
    names = [item.path.name for item in plain.items[:3]]
    assert [reads.count(name) for name in names] == [
        3 + 1 + 1,
        3 + 1,
        3 + 3,
    ]  # the plain one reads each time, and first
