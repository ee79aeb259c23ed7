"""From folders of images and labels to batches: reading, checking, augmenting, cutting windows."""

import math
import re
import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from centerdet import RotatedBox, score_iou
from centerdet.box import yaw_error
from centerdet.data.augment import Augmentation, AugmentationConfig
from centerdet.data.crops import CropBatches, crop_around
from centerdet.data.dataset import load_dataset
from centerdet.data.image_io import find_images, image_size, read_image
from centerdet.data.labels import text_line
from centerdet.data.validate import check_dataset
from centerdet.model.centernet import CenterNet, NetworkConfig
from centerdet.training.config import ImagesConfig
from centerdet.training.own_images import _look_at_pixels, _sized, train_dataset
from tests.helpers import BOXES, draw_8bit, draw_box, write_dataset, write_images


@pytest.mark.parametrize("format", ["csv", "yolo", "dota"])
def test_a_dataset_gives_back_what_was_written(tmp_path, format):
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


@pytest.mark.parametrize(("name", "wanted"), [("a.png", np.uint16), ("a.tif", np.uint16), ("a.bmp", np.uint8)])
def test_integer_files_keep_their_pixels(tmp_path, name, wanted):
    pixels = np.random.default_rng(0).integers(0, np.iinfo(wanted).max, (70, 80)).astype(wanted)
    cv2.imwrite(str(tmp_path / name), pixels)
    np.testing.assert_array_equal(read_image(tmp_path / name), pixels)
    assert image_size(tmp_path / name) == (80, 70)


def test_npy_tiff_and_colour(tmp_path):
    pixels = np.random.default_rng(0).random((70, 80)).astype(np.float32)
    np.save(tmp_path / "a.npy", pixels)
    cv2.imwrite(str(tmp_path / "b.tif"), pixels)
    np.testing.assert_array_equal(read_image(tmp_path / "a.npy"), pixels)
    np.testing.assert_array_equal(read_image(tmp_path / "b.tif"), pixels)
    colour = np.zeros((70, 80, 3), np.uint8)
    colour[...] = (10, 100, 200)  # OpenCV's order: blue, green, red
    cv2.imwrite(str(tmp_path / "c.png"), colour)
    np.save(tmp_path / "d.npy", colour[..., ::-1])
    gamma = struct.pack(">4sI", b"gAMA", 45455)  # other readers turn such a file to grey by another rule
    png = (tmp_path / "c.png").read_bytes()
    chunk = struct.pack(">I", 4) + gamma + struct.pack(">I", zlib.crc32(gamma))
    (tmp_path / "e.png").write_bytes(png[:33] + chunk + png[33:])
    cv2.imwrite(str(tmp_path / "f.tif"), colour.astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / "g.tif"), colour.astype(np.float32) / 255)
    wanted = 0.299 * 200 + 0.587 * 100 + 0.114 * 10
    for name, scale in {"c.png": 1, "d.npy": 1, "e.png": 1, "f.tif": 257, "g.tif": 1 / 255}.items():
        image = read_image(tmp_path / name)
        assert image.shape == (70, 80)
        assert image[0, 0] == pytest.approx(scale * wanted, abs=1e-5 if scale < 1 else 0.51)


def test_tables_with_one_channel_and_double_precision_are_images(tmp_path):
    pixels = np.random.default_rng(0).random((70, 80))
    np.save(tmp_path / "a.npy", pixels[..., None])
    cv2.imwrite(str(tmp_path / "b.tif"), pixels)
    for name in ("a.npy", "b.tif"):
        assert image_size(tmp_path / name) == (80, 70)
        np.testing.assert_array_equal(read_image(tmp_path / name), pixels)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
@pytest.mark.parametrize(("orientation", "quarter_turns"), [(1, 0), (3, 2), (6, -1), (8, 1)])
def test_pictures_are_turned_as_their_files_say(tmp_path, name, orientation, quarter_turns):
    pixels = np.zeros((72, 88), np.uint8)
    pixels[:32, :24] = 255
    tags = Image.Exif()
    tags[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / name, exif=tags)
    wanted = np.rot90(pixels, quarter_turns)
    assert image_size(tmp_path / name) == wanted.shape[::-1]
    np.testing.assert_allclose(read_image(tmp_path / name), wanted, atol=8)


def test_small_images_are_padded_where_they_need_be(tmp_path):
    box = RotatedBox(40, 20, 0.3, 10, 20)
    path = write_dataset(tmp_path, "yolo", boxes=[box], shape=(40, 70))
    assert check_dataset(path)[0] == []
    ((image, found),) = load_dataset(path, "train")
    assert image.shape == (64, 70)
    assert image[40:].max() == 0
    assert score_iou(found, box) > 0.999


def test_unreadable_images_are_told(tmp_path, capfd):
    (tmp_path / "a.png").write_bytes(b"not an image")
    (tmp_path / "b.png").write_bytes(b"")
    np.save(tmp_path / "c.npy", np.zeros(5))
    np.save(tmp_path / "d.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "e.npy", np.full((70, 70, 3), "a"))
    np.save(tmp_path / "f.npy", np.zeros((70, 70, 2)))
    np.save(tmp_path / "g.npy", np.zeros((0, 70)))
    np.savez(tmp_path / "h.npz", np.zeros((70, 70)))
    (tmp_path / "h.npz").rename(tmp_path / "h.npy")
    (tmp_path / "i.npy").write_bytes((tmp_path / "h.npy").read_bytes()[:60])
    (tmp_path / "j.npy").write_bytes((tmp_path / "f.npy").read_bytes()[:10] + b"{'shape': (")
    (tmp_path / "k.tif").write_bytes(b"II*\0\x08\0\0\0")
    (tmp_path / "l.bmp").write_bytes(cv2.imencode(".bmp", np.zeros((70, 70), np.uint8))[1].tobytes()[:2000])
    for path in [*sorted(tmp_path.iterdir()), tmp_path / "missing.png"]:
        with pytest.raises(ValueError, match=f"cannot read {path}"):
            read_image(path)
    assert capfd.readouterr() == ("", "")  # decoders keep to themselves what they think
    with pytest.raises(ValueError, match="there is no folder"):
        find_images(tmp_path / "nowhere")


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path):
    header = np.lib.format.magic(1, 0)
    text = "{'descr': '|u1', 'fortran_order': False, 'shape': (100001, 1000), }"
    text += " " * (-(len(header) + 2 + len(text) + 1) % 64) + "\n"
    with open(tmp_path / "bomb.npy", "wb") as file:
        file.write(header + len(text).to_bytes(2, "little") + text.encode())
        file.truncate(file.tell() + 100_001_000)  # sparse
    with pytest.raises(ValueError, match="1000 x 100001 pixels, and may have 1 to 100,000,000"):
        read_image(tmp_path / "bomb.npy")


def test_two_objects_are_an_error_or_the_largest_is_kept(tmp_path):
    path = write_dataset(tmp_path, "yolo")
    small = RotatedBox(20, 20, 0, 8, 9)
    labels = tmp_path / "train" / "labels" / "000.txt"
    labels.write_text(labels.read_text() + text_line(small, format="yolo", size=(128, 96)) + "\n")
    with pytest.raises(ValueError, match=r"000\.txt, line 2: a second object in 000\.png"):
        load_dataset(path, "train")
    path.write_text(path.read_text() + "several: largest\n")
    assert score_iou(load_dataset(path, "train")[0][1], BOXES[0]) > 0.999


def test_without_a_heading_a_table_gives_axes(tmp_path):
    path = write_dataset(tmp_path, "csv")
    path.write_text(path.read_text() + "heading: false\n")
    for (_, found), box in zip(load_dataset(path, "train"), BOXES, strict=True):
        if box:
            assert score_iou(found, box) > 0.999
            assert -math.pi / 2 < found.yaw <= math.pi / 2
            assert yaw_error(2 * found.yaw, 2 * box.yaw) < 1e-6


def test_the_same_picture_in_another_file_is_found(tmp_path):
    path = write_dataset(tmp_path, "csv")
    write_dataset(tmp_path, "csv", boxes=[RotatedBox(70, 50, 1, 20, 30)], split="test")
    assert check_dataset(path)[0] == []
    cv2.imwrite(str(tmp_path / "test" / "images" / "again.bmp"), draw_8bit(BOXES[3]))
    labels = tmp_path / "test" / "labels.csv"
    labels.write_text(labels.read_text() + "again.bmp,,,,,\n")
    (fault,) = check_dataset(path)[0]
    assert "again.bmp: the same image is in the split train" in fault
    assert "003.png" in fault


def test_check_lists_every_fault_in_one_run(tmp_path):
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


@pytest.mark.parametrize("format", ["csv", "yolo", "dota"])
def test_an_object_outside_its_image_is_told_with_file_and_line(tmp_path, format):
    path = write_dataset(tmp_path, format, boxes=[BOXES[0], RotatedBox(60, 96, 0, 20, 30)])
    place = r"labels\.csv, line 3" if format == "csv" else r"001\.txt, line 1"
    message = rf"{place}: the object's centre \(60, 96\) is outside the image 001\.png, 128 x 96 px"
    with pytest.raises(ValueError, match=message):
        load_dataset(path, "train")
    (fault,) = check_dataset(path)[0]
    assert re.search(message, fault)


def test_check_looks_at_images_whose_labels_cannot_be_read(tmp_path):
    path = write_dataset(tmp_path, "csv")
    (tmp_path / "train" / "labels.csv").write_text("a,b\n")
    (tmp_path / "train" / "images" / "003.png").write_bytes(b"broken")
    errors, _ = check_dataset(path)
    assert len(errors) == 2
    assert "must begin with the line image," in errors[0]
    assert "cannot read" in errors[1]


def test_check_draws_images_of_any_shape(tmp_path):
    path = write_dataset(tmp_path, "yolo", boxes=[None], shape=(3, 4000))
    errors, sheet = check_dataset(path)
    assert errors == []
    assert sheet.shape[1] > 300


def test_an_image_of_other_pixels_is_named(tmp_path):
    path = write_dataset(tmp_path, "yolo")
    np.save(tmp_path / "train" / "images" / "004.npy", np.full((80, 80), 4095.0))
    with pytest.raises(ValueError, match=r"004\.npy: floating-point pixels must lie in \[0, 1\], got 4095"):
        load_dataset(path, "train")[4]
    path.write_text(path.read_text() + "intensity: [0, 4095]\n")
    assert load_dataset(path, "train")[4][0].max() == 4095


def test_learning_needs_objects_in_both_splits(tmp_path):
    path = write_dataset(tmp_path, "yolo")
    write_dataset(tmp_path, "yolo", boxes=[None], split="validation")
    with pytest.raises(ValueError, match="no image of the validation split of .* has an object"):
        train_dataset(path, ImagesConfig(), directory=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_check_looks_at_images_whose_labels_are_at_fault(tmp_path):
    path = write_dataset(tmp_path, "csv")
    write_dataset(tmp_path, "csv", boxes=BOXES[:1], split="test")
    images, labels = tmp_path / "train" / "images", tmp_path / "train" / "labels.csv"
    (images / "003.png").write_bytes(b"broken")
    rows = labels.read_text().splitlines()
    labels.write_text("\n".join([rows[0], "000.png,60,40,0.3,a,40", *rows[2:4]]))
    errors, _ = check_dataset(path)
    assert len(errors) == 4
    for fault, expected in zip(
        errors, ["line 2: 'a'", "003.png: it has no row", "cannot read", "same image"], strict=True
    ):
        assert expected in fault


@pytest.mark.parametrize("format", ["csv", "yolo"])
def test_a_fault_is_told_once(tmp_path, format):
    path = write_dataset(tmp_path, format)
    (tmp_path / "train" / "images" / "001.png").write_bytes(b"broken")
    (fault,) = check_dataset(path)[0]
    assert "cannot read" in fault


def test_dark_images_are_a_fault(tmp_path):
    path = write_dataset(tmp_path, "yolo", boxes=[None])
    cv2.imwrite(str(tmp_path / "train" / "images" / "000.png"), np.full((70, 80), 4095, np.uint16))
    (fault,) = check_dataset(path)[0]
    assert "pixels reach only 0.062 of the full scale; say which values are 0 and 1" in fault
    path.write_text(path.read_text() + "intensity: [0, 4095]\n")
    assert check_dataset(path)[0] == []


def test_a_clean_dataset_has_no_fault(tmp_path):
    assert check_dataset(write_dataset(tmp_path, "dota"))[0] == []


def write_folder(root, format, count=40):
    """One folder of images, and a file that takes two splits from it."""
    rng = np.random.default_rng(0)
    boxes = [RotatedBox(*rng.uniform(30, 60, 2), 0.3, 20, 40) for _ in range(count)]
    path = write_dataset(root, format, boxes=boxes)
    path.write_text(path.read_text() + "held_out: {validation: 0.2, test: 0.3}\n")
    return path


@pytest.mark.parametrize("format", ["csv", "yolo"])
def test_a_single_folder_is_split_always_in_the_same_way(tmp_path, format):
    path = write_folder(tmp_path, format)
    assert check_dataset(path)[0] == []
    train, validation, test = (load_dataset(path, split).items for split in ("train", "validation", "test"))
    assert len({item.path for item in train + validation + test}) == len(train + validation + test) == 40
    assert len(train) > len(validation) > 2
    assert len(test) > 2
    assert train == load_dataset(path, "train").items
    validation[0].path.unlink()
    assert len(check_dataset(path)[0]) == 1  # a label without an image, told once


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("held_out: {validation: 1.0}", "leave something to train on"),
        ("held_out: {test: -0.1}", "leave something to train on"),
        ("held_out: {validation: 0.1}\nvalidation: {images: a, labels: b}", "no validation beside it"),
        ("held_out: {tset: 0.1}", "did you mean 'test'"),
    ],
)
def test_what_is_held_out_is_checked(tmp_path, line, complaint):
    path = write_dataset(tmp_path, "csv")
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(ValueError, match=complaint):
        load_dataset(path, "train")


def test_nothing_left_for_a_split_is_told(tmp_path):
    path = write_dataset(tmp_path, "csv")
    path.write_text(path.read_text() + "held_out: {validation: 0.0001}\n")
    with pytest.raises(ValueError, match="is left for the validation split"):
        load_dataset(path, "validation")


def test_splits_may_share_a_table(tmp_path):
    path = write_dataset(tmp_path, "csv")
    write_dataset(tmp_path, "csv", boxes=[RotatedBox(70, 50, 1, 20, 30)], split="test")
    (tmp_path / "test" / "images" / "000.png").rename(tmp_path / "test" / "images" / "other.png")
    table = tmp_path / "train" / "labels.csv"
    table.write_text(table.read_text() + "other.png,70,50,1,20,30\nghost.png,,,,,\n")
    path.write_text(path.read_text().replace("test/labels.csv", "train/labels.csv"))
    errors, _ = check_dataset(path)
    assert [fault.partition(": ")[2] for fault in errors] == [
        f"ghost.png is named there, but it is not in {tmp_path / split / 'images'}" for split in ("train", "test")
    ]


def test_a_table_of_other_names_is_one_fault(tmp_path):
    path = write_dataset(tmp_path, "csv")
    table = tmp_path / "train" / "labels.csv"
    table.write_text(table.read_text().replace("00", "images/00"))
    (fault,) = check_dataset(path)[0]
    assert "names start from the folder of a split's images, as '000.png', got 'images/000.png'" in fault
    path.write_text(path.read_text() + "held_out: {validation: 0.3, test: 0.3}\n")
    assert len([fault for fault in check_dataset(path)[0] if "names no image" in fault]) == 1


@pytest.mark.parametrize("format", ["csv", "yolo"])
def test_a_label_for_images_of_two_splits_is_a_fault(tmp_path, format):
    path = write_dataset(tmp_path, format)
    write_images(tmp_path / "test" / "images", [RotatedBox(70, 50, 1, 20, 30)])
    labels = "labels.csv" if format == "csv" else "labels"
    path.write_text(path.read_text() + f"test: {{images: test/images, labels: ./train/{labels}}}\n")
    (fault,) = check_dataset(path)[0]
    images = [tmp_path / split / "images" / "000.png" for split in ("train", "test")]
    assert f"has one label for {images[0]} and {images[1]}" in fault
    (tmp_path / "test" / "images").rename(tmp_path / "away")
    with pytest.raises(ValueError, match="there is no folder .*test/images"):
        load_dataset(path, "train")


def test_names_of_classes_are_no_label(tmp_path):
    path = write_dataset(tmp_path, "yolo")
    (tmp_path / "train" / "labels" / "classes.txt").write_text("ship\n")
    assert check_dataset(path)[0] == []
    (tmp_path / "train" / "labels" / "other.txt").write_text("")
    (fault,) = check_dataset(path)[0]
    assert "other.txt: there is no such image" in fault


@pytest.mark.parametrize(
    ("pixels", "noise_level", "warning"),
    [(0.01, None, "reach only 0.010"), (0.9, 0.8, "above 0.8"), (0.9, None, None), (0.3, 0.8, None)],
)
def test_images_of_which_a_network_sees_little_are_told(pixels, noise_level, warning, caplog):
    network = CenterNet(NetworkConfig(channels=(8,), num_blocks=(1,), noise_level=noise_level))
    _look_at_pixels([(np.full((64, 64), pixels), None)], None, network)
    assert [warning in record.message for record in caplog.records] == ([True] if warning else [])


def test_a_missing_split_is_named(tmp_path):
    with pytest.raises(ValueError, match="no test split"):
        load_dataset(write_dataset(tmp_path, "csv"), "test")


@pytest.mark.parametrize(
    "config",
    [
        {"flips": True},
        {"quarter_turns": True},
        {"rotation": 40.0},
        {"scale": (0.8, 1.2)},
        {"shift": 0.15},
        {"flips": True, "quarter_turns": True, "rotation": 20.0, "scale": (0.9, 1.1), "shift": 0.05},
    ],
    ids=str,
)
def test_augmented_images_agree_with_their_moved_boxes(config):
    augment = Augmentation(AugmentationConfig(fill=0.2, **config))
    rng = np.random.default_rng(5)
    moved = 0
    for _ in range(20):
        box = RotatedBox(60 + rng.uniform(-5, 5), 48, rng.uniform(-3, 3), 24, 40)
        image, there = augment(draw_box(box), box, rng)
        wanted = draw_box(there, image.shape)
        overlap = ((image > 0.55) & (wanted > 0.55)).sum() / ((image > 0.55) | (wanted > 0.55)).sum()
        assert overlap > 0.88  # edges are blurred by interpolation, on wedges that are wider at the tail
        moved += there != box
    assert moved >= 8


@pytest.mark.parametrize(("fill", "wanted"), [(None, None), (0.0, 0.0), (0.7, 0.7)])
def test_what_a_rotation_leaves_empty_is_filled(fill, wanted):
    image = draw_box(RotatedBox(64, 48, 0, 30, 40))
    turned, _ = Augmentation(AugmentationConfig(rotation=45.0, fill=fill))(image, None, np.random.default_rng(1))
    assert turned[0, 0] == pytest.approx(image.mean() if wanted is None else wanted, abs=1e-3)
    assert turned[0, 0] != pytest.approx(image[0, 0], abs=0.01)


@pytest.mark.parametrize("values", [{"noise": 1.5}, {"blur": 1e6}, {"gamma": (1e-3, 1.0)}, {"shift": 0.5}])
def test_augmentation_has_bounds(values):
    with pytest.raises(ValueError, match=r"at most|0\.01"):
        AugmentationConfig(**values)


def test_photometric_changes_leave_the_box_alone():
    config = AugmentationConfig(brightness=0.2, contrast=0.2, gamma=(0.8, 1.2), noise=0.1, blur=1.0)
    box = RotatedBox(60, 48, 0.3, 24, 40)
    image, there = Augmentation(config)(draw_box(box), box, np.random.default_rng(0))
    np.testing.assert_allclose(there.to_array(), box.to_array(), atol=1e-4)
    assert not np.array_equal(image, draw_box(box))
    assert 0 <= image.min() <= image.max() <= 1


def test_the_same_random_numbers_give_the_same_augmentation():
    augment = Augmentation(AugmentationConfig(rotation=30, noise=0.1))
    box = RotatedBox(60, 48, 0.3, 24, 40)
    first, second = (augment(draw_box(box), box, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    assert first[1] == second[1]


def test_windows_hold_the_object():
    rng = np.random.default_rng(0)
    for _ in range(300):
        shape = tuple(rng.integers(70, 300, 2).tolist())
        box = RotatedBox(rng.uniform(0, shape[1] - 1), rng.uniform(0, shape[0] - 1), 0.4, 20, 30)
        image = np.zeros(shape, np.float32)
        image[round(box.y), round(box.x)] = 1
        cut, there = crop_around(image, box, 96, rng)
        assert cut.shape == tuple(min(96, side) for side in shape)
        assert 0 <= there.x <= 95.5
        assert 0 <= there.y <= 95.5
        assert cut[round(there.y), round(there.x)] == 1


def test_windows_keep_the_centre_of_objects_that_are_larger():
    rng = np.random.default_rng(0)
    box = RotatedBox(200.3, 150.7, 0.4, 150, 260)
    places = set()
    for _ in range(300):
        _, there = crop_around(np.zeros((400, 400), np.float32), box, 96, rng)
        assert 0 <= there.x <= 95
        assert 0 <= there.y <= 95
        places.add(round(there.x))
    assert len(places) > 60


@pytest.mark.parametrize("kind", ["sequence", "function", "iterable"])
def test_batches_come_from_any_source(kind):
    scenes = [(draw_box(box), box) if box else (np.zeros((96, 128), np.float32), None) for box in BOXES]
    source = {"sequence": scenes, "function": lambda rng: scenes[int(rng.integers(4))], "iterable": iter(scenes)}
    series = CropBatches(source[kind], seed=3, steps=2, batch_size=4, crop_size=64)
    images, boxes, has_object = series[0]
    assert images.shape == (4, 1, 64, 64)
    assert boxes.shape == (4, 5)
    assert has_object.any()
    if kind != "iterable":
        again = CropBatches(source[kind], seed=3, steps=2, batch_size=4, crop_size=64)[0]
        assert all((a == b).all() for a, b in zip((images, boxes, has_object), again, strict=True))
    with pytest.raises(IndexError):
        series[2]


def test_windows_are_no_larger_than_the_images():
    def draw(rng):
        image = rng.uniform(0.1, 1, (70, 200))  # no zeros but padding
        return image, RotatedBox(100, 35, 0.4, 30, 60)

    images, boxes, has_object = CropBatches(draw, seed=0, steps=1, batch_size=4, crop_size=96)[0]
    assert images.shape == (4, 1, 70, 96)
    assert images.min() >= 0.1
    assert has_object.all()
    assert (boxes[:, 1] == 35).all()
    sizes = iter([(70, 200), (90, 80)])
    mixed = CropBatches(lambda rng: (np.ones(next(sizes)), None), seed=0, steps=1, batch_size=2, crop_size=96)[0]
    assert mixed.images.shape == (2, 1, 90, 96)
    assert mixed.images.sum(dim=(1, 2, 3)).tolist() == [70 * 96, 90 * 80]


def test_a_batch_holds_one_whole_image_at_a_time():
    series = CropBatches(lambda rng: (np.zeros((1000, 1000), np.uint8), None), seed=0, steps=1, crop_size=64)
    tracemalloc.start()
    try:
        series[0]
        assert tracemalloc.get_traced_memory()[1] < 6 * 4e6  # bytes; 16 images of 4e6 bytes are in the batch
    finally:
        tracemalloc.stop()


def test_batches_need_scenes():
    with pytest.raises(ValueError, match="at least one scene"):
        CropBatches([], seed=0, steps=1)
    scene = (np.zeros((64, 64)), None)
    with pytest.raises(ValueError, match="the iterable has ended"):
        CropBatches(iter([scene] * 3), seed=0, steps=1, batch_size=4, crop_size=64)[0]


@pytest.mark.parametrize("scene", [(np.zeros((64, 64)), np.full(5, np.nan)), np.zeros((64, 64)), (None,)])
def test_other_scenes_are_refused(scene):
    with pytest.raises(ValueError, match=r"a scene is an image and a RotatedBox \(or None\), got .*from_array"):
        CropBatches(lambda rng: scene, seed=0, steps=1, crop_size=64)[0]


def test_maps_and_windows_are_as_large_as_the_objects():
    small, large = (_sized(ImagesConfig(), [RotatedBox(50, 50, 0, side, 2 * side)] * 30) for side in (8, 80))
    assert small.size_unit == pytest.approx(8 * math.sqrt(2), abs=0.1)
    assert large.size_unit == pytest.approx(80 * math.sqrt(2), abs=0.1)
    assert small.crop_size == 96
    assert 160 * math.sqrt(5) / 2 < large.crop_size < 320
    given = ImagesConfig(size_unit=20, crop_size=128)
    assert _sized(given, [RotatedBox(50, 50, 0, 80, 80)]) == given
