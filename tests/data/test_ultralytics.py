"""Data sets of Ultralytics and Roboflow."""

import pytest

from centerdet.data.config import read_data_config
from centerdet.data.dataset import load_dataset
from centerdet.data.ultralytics import label_path
from centerdet.data.ultralytics_yaml import format_data_yaml
from centerdet.data.validate import check_dataset
from centerdet.data.yolo_obb import format_line
from tests.helpers import BOXES, SHAPE, assert_same_box, write_images


def write_split(images, boxes):
    """Images, and labels in the folder that Ultralytics' rule gives."""
    write_images(images, boxes)
    for path, box in zip(sorted(images.glob("*.png")), boxes, strict=True):
        label_path(path).parent.mkdir(parents=True, exist_ok=True)
        if box:
            label_path(path).write_text(format_line(box, size=SHAPE[::-1]) + "\n")


def assert_split(path, split, boxes):
    items = load_dataset(path, split).items
    assert len(items) == len(boxes)
    for item, box in zip(items, boxes, strict=True):
        assert (item.box is None) == (box is None)
        if box:
            assert_same_box(item.box, box)


@pytest.fixture
def root(tmp_path):
    """A data set as Ultralytics describes it: images/train and labels/train."""
    write_split(tmp_path / "images" / "train", BOXES)
    write_split(tmp_path / "images" / "val", BOXES[:1])
    splits = {"train": "images/train", "val": "images/val"}
    (tmp_path / "data.yaml").write_text(format_data_yaml(splits))
    return tmp_path


def test_folders(root):
    assert_split(root / "data.yaml", "train", BOXES)
    assert_split(root / "data.yaml", "validation", BOXES[:1])
    errors, _ = check_dataset(root / "data.yaml")
    assert len(errors) == 1  # the first image is in both splits
    assert "the same image is in the split train" in errors[0]


def test_roboflow(tmp_path):
    write_split(tmp_path / "train" / "images", BOXES)
    write_split(tmp_path / "valid" / "images", BOXES[1:])
    (tmp_path / "data.yaml").write_text(
        "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 1\nnames: ['ship']\n"
        "roboflow: {workspace: w, project: p, version: 1, license: Public Domain}\nhas_heading: true\n"
    )
    assert_split(tmp_path / "data.yaml", "validation", BOXES[1:])
    with pytest.raises(ValueError, match="there is no folder .*test/images"):
        load_dataset(tmp_path / "data.yaml", "test")


def test_lists_of_images(root):
    (root / "train.txt").write_text("./images/train/001.png\n\nimages/train/003.png\n")
    (root / "val.txt").write_text(f"{root}/images/train/000.png\n{root}/images/val/000.png\n")
    path = root / "data.yaml"
    path.write_text("path: .\ntrain: train.txt\nval: [val.txt, images/val]\nnames: {0: ship}\nhas_heading: true\n")
    assert_split(path, "train", [BOXES[1], BOXES[3]])
    assert_split(path, "validation", [BOXES[0], BOXES[0]])
    (root / "train.txt").write_text("images/train/001.png\nimages/train/ghost.png\n")
    with pytest.raises(ValueError, match=r"train\.txt, line 2: there is no file .*ghost\.png"):
        load_dataset(path, "train")
    (root / "train.txt").write_text("\n")
    with pytest.raises(ValueError, match=r"train\.txt names no image"):
        load_dataset(path, "train")


def test_the_path_may_be_that_of_another_computer(root):
    (root / "data.yaml").write_text("path: /no/such/folder\ntrain: images/train\nval: images/val\nnames: [ship]\n")
    assert len(load_dataset(root / "data.yaml", "train")) == len(BOXES)


def test_labels_have_no_heading_unless_the_author_says_so(root):
    text = (root / "data.yaml").read_text()
    assert read_data_config(root / "data.yaml").has_heading
    (root / "data.yaml").write_text(text.replace("has_heading", "# "))
    assert not read_data_config(root / "data.yaml").has_heading


def test_another_side_is_the_nose(root):
    path = root / "data.yaml"
    path.write_text(path.read_text() + "nose: bottom\n")
    box, turned = BOXES[0], load_dataset(path, "train").items[0].box
    assert (turned.width, turned.height) == (pytest.approx(box.width, abs=1e-3), pytest.approx(box.height, abs=1e-3))
    assert abs(turned.yaw - box.yaw) == pytest.approx(3.14159, abs=1e-3)


def test_wrong_keys_and_labels_are_errors(root):
    path, text = root / "data.yaml", (root / "data.yaml").read_text()
    path.write_text(text + "has_headings: true\n")
    with pytest.raises(ValueError, match="unknown key 'has_headings'; did you mean 'has_heading'"):
        read_data_config(path)
    path.write_text(text.replace("images/train", "3"))
    with pytest.raises(ValueError, match="train must be a folder"):
        read_data_config(path)
    path.write_text(text)
    (root / "labels" / "train" / "ghost.txt").write_text("")
    (root / "labels" / "train" / "001.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    with pytest.raises(ValueError, match=r"001\.txt, line 1: wanted class and 8 numbers, got 5 words.*\(and 1 more"):
        load_dataset(path, "train")
    (root / "labels" / "train").rename(root / "away")
    with pytest.raises(ValueError, match="has a label file, for example .*labels/train/000.txt; correct the path"):
        load_dataset(path, "train")
