"""What could pass for "no object" or for a whole data set in silence is an error."""

import json
import os

import cv2
import numpy as np
import pytest

from centerdet.box import RotatedBox
from centerdet.cli.outputs import dataset_files
from centerdet.data.dataset import load_training_splits
from centerdet.data.folders import expand_pattern, list_files
from centerdet.data.image_io import find_images, read_image
from centerdet.data.predict import find_files, predict_files
from centerdet.data.validate import check_dataset
from tests.helpers import BOXES, make_detector, write_dataset


def errors_of(path):
    return check_dataset(path, tiles=0)[0]


def test_label_links_that_lead_nowhere_are_errors(tmp_path):
    path = write_dataset(tmp_path, "yolo")
    (tmp_path / "train" / "labels" / "002.txt").symlink_to("nowhere")  # image 002 has no object, and had no file
    (error,) = errors_of(path)
    assert "002.txt: cannot be read: there is no such file" in error


def test_label_files_with_another_suffix_are_errors(tmp_path):
    path = write_dataset(tmp_path, "yolo")
    (tmp_path / "train" / "labels" / "000.txt").rename(tmp_path / "train" / "labels" / "000.TXT")
    (error,) = errors_of(path)
    assert "000.TXT: label files end in .txt; rename it" in error


@pytest.fixture
def locked(monkeypatch):
    """Makes folders named ``locked`` unreadable, also to the administrator."""
    scan = os.scandir

    def refuse(folder):
        if os.fspath(folder).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)


def test_folders_that_cannot_be_listed_are_errors(tmp_path, locked):
    path = write_dataset(tmp_path, "yolo")
    (tmp_path / "train" / "labels" / "locked").mkdir()
    assert errors_of(path) == [
        f"cannot list the folder {tmp_path / 'train' / 'labels' / 'locked'}; make it readable, or remove it"
    ]
    images = tmp_path / "train" / "images"
    (images / "locked").mkdir()
    assert f"cannot list the folder {images / 'locked'}; make it readable, or remove it" in errors_of(path)
    with pytest.raises(ValueError, match="cannot list the folder .*locked"):
        find_images(images)
    reported = []
    results = list(predict_files(make_detector(), find_files([str(images)]), on_error=reported.append))
    assert len(results) == len(BOXES)  # the unreadable folder costs no image
    assert len(reported) == 1
    assert "locked" in reported[0]


@pytest.mark.parametrize("size", [(1e-300, 20), (20, 1e-3), (9e8, 9e8), (20, 1300)])
def test_objects_of_impossible_size_are_errors(tmp_path, size):
    path = write_dataset(tmp_path, "csv", boxes=[RotatedBox(60, 40, 0.3, 20, 30)])
    row = f"000.png,60,40,0.3,{size[0]},{size[1]}\n"
    (tmp_path / "train" / "labels.csv").write_text(f"image,x,y,yaw,width,height\n{row}")
    (error,) = errors_of(path)
    assert "labels.csv, line 2: " in error


@pytest.mark.parametrize("number", ["1_00", "٣", "1e999", "0x10"])
def test_numbers_that_other_programs_cannot_read_are_errors(tmp_path, number):
    path = write_dataset(tmp_path, "csv", boxes=[RotatedBox(60, 40, 0.3, 20, 30)])
    (tmp_path / "train" / "labels.csv").write_text(f"image,x,y,yaw,width,height\n000.png,{number},40,0.3,20,30\n")
    (error,) = errors_of(path)
    assert "is not a" in error


def test_loops_of_links_end(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "0.png"), np.zeros((64, 64), np.uint8))
        for other in ("a", "b"):
            (tmp_path / name / f"to_{other}").symlink_to(tmp_path / other)
    (tmp_path / "self").symlink_to("self")
    wanted = [tmp_path / "a" / "0.png", tmp_path / "b" / "0.png"]
    assert [path for path in list_files(tmp_path) if path.name != "self"] == wanted
    assert expand_pattern(f"{tmp_path}/**/*.png", unlisted=[]) == wanted
    assert find_files([f"{tmp_path}/**/*.png"]) == wanted


def test_folders_of_the_kernel_are_left_out_and_cannot_be_named(tmp_path):
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((64, 64), np.uint8))
    (tmp_path / "to_system").symlink_to("/proc/self")
    assert list_files(tmp_path) == [tmp_path / "0.png"]
    assert find_files([str(tmp_path), f"{tmp_path}/**"]) == [tmp_path / "0.png"] * 2
    with pytest.raises(ValueError, match="^/proc/self shows the state of the system, it holds no files"):
        find_files(["/proc/self"])
    assert expand_pattern("/proc/self/**/*.png", unlisted=[]) == []


def test_links_to_folders_elsewhere_are_followed(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "store" / "0.png"), np.zeros((64, 64), np.uint8))
    (tmp_path / "images" / "day").symlink_to(tmp_path / "store")
    assert find_images(tmp_path / "images") == [tmp_path / "images" / "day" / "0.png"]


def test_white_and_black_in_double_precision_keep_their_values(tmp_path):
    colours = np.ones((70, 80, 3))
    colours[:35] = 0
    np.save(tmp_path / "a.npy", colours)
    np.testing.assert_array_equal(read_image(tmp_path / "a.npy"), colours[..., 0])


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "y/" * 3000])
def test_paths_that_no_file_can_have_are_errors_with_the_file_that_names_them(name, tmp_path):
    path = tmp_path / "data.yaml"
    path.write_text(f"format: yolo\ntrain: {{images: {json.dumps(name)}, labels: labels}}\n")
    assert all("there is no folder" in error for error in errors_of(path))
    (tmp_path / "list.txt").write_text(f"{name}\n")
    path.write_text("format: yolo\ntrain: {images: list.txt, labels: labels}\n")
    assert all("list.txt, line 1: there is no file" in error for error in errors_of(path))
    assert list(dataset_files(path)) == [path, tmp_path / "labels"]
    with pytest.raises(ValueError, match="there is no file, folder or match for"):
        find_files([name])
    with pytest.raises(ValueError, match="the name of a file or folder is empty"):
        find_files([""])


def test_a_data_set_without_images_to_train_on_is_an_error_that_says_so(tmp_path):
    path = tmp_path / "data.yaml"
    path.write_text("format: yolo\ntest: {images: a, labels: b}\n")
    with pytest.raises(ValueError, match="data.yaml: the data set has no train split; add a line"):
        load_training_splits(path)
    path.write_text("format: yolo\ntrain: {images: a, labels: b}\nheld_out: {test: 0.9}\n")
    with pytest.raises(ValueError, match="data.yaml has no validation split, and too few images for one"):
        load_training_splits(path)
