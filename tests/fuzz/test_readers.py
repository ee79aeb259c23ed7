"""Every reader meets every kind of bad file: one ValueError that names the file and the remedy, within limits."""

import io
import json
import struct
import zipfile
import zlib

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import centerdet
from centerdet.data import dota, yolo_obb
from centerdet.data.config import read_data_config
from centerdet.data.csv_labels import read_csv, write_csv
from centerdet.data.image_io import read_image
from centerdet.data.labels import ErrorCollector
from centerdet.export.runtime import OnnxDetector
from centerdet.model.types import Batch
from centerdet.training.checkpoint import add_digest, load_checkpoint, save_batch, save_checkpoint
from centerdet.training.config import read_config
from centerdet.training.logger import _read_lines, _step
from centerdet.training.replay import replay
from tests.fuzz.bad_files import DAMAGED, WRONG, LimitedCalls
from tests.helpers import BOXES, make_detector

PIXELS = np.random.default_rng(0).integers(0, 256, (70, 80), dtype=np.uint8)


def read_text_label(format):
    def read(path):
        errors = ErrorCollector()
        format.read_file(path, size=(128, 96), has_heading=True, errors=errors)
        if errors.messages:
            raise ValueError(errors.messages[0])

    return read


def read_table(path):
    errors = ErrorCollector()
    read_csv(path, has_heading=True, errors=errors)
    if errors.messages:
        raise ValueError(errors.messages[0])


# File name -> its reader, and whether it notices any damage.
READERS = {
    **{f"image.{suffix}": (read_image, False) for suffix in ("png", "jpg", "tif", "bmp", "npy")},
    "yolo.txt": (read_text_label(yolo_obb), False),
    "dota.txt": (read_text_label(dota), False),
    "labels.csv": (read_table, False),
    "data.yaml": (read_data_config, False),
    "config.yaml": (read_config, False),
    "weights.safetensors": (centerdet.load, True),
    "model.onnx": (lambda path: OnnxDetector(path, threads=1), True),
    "checkpoint.pt": (lambda path: load_checkpoint(path, settings=None), True),
    "nonfinite-0.pt": (replay, True),
    "metrics.jsonl": (lambda path: [_step(line) for line in _read_lines(path)], False),
}
# Bad files that are good ones to some readers: an absent label means "no object", an empty config the defaults.
ACCEPTED = {
    **{name: {"missing", "empty"} for name in ("yolo.txt", "dota.txt")},
    "config.yaml": {"empty"},
    "metrics.jsonl": {"empty", "text", "zeros", "archive"},  # lines that are no entries are dropped
}


@pytest.fixture(scope="module")
def contents(tmp_path_factory, exported):
    """The content of a good file of each kind."""
    folder, detector = tmp_path_factory.mktemp("good"), make_detector()
    for suffix in ("png", "jpg", "tif", "bmp"):
        cv2.imwrite(str(folder / f"image.{suffix}"), PIXELS)
    np.save(folder / "image.npy", PIXELS)
    (folder / "yolo.txt").write_text(yolo_obb.format_line(BOXES[0], size=(128, 96)) + "\n")
    (folder / "dota.txt").write_text(dota.format_line(BOXES[0]) + "\n")
    write_csv(folder / "labels.csv", {"a.png": BOXES[0], "b.png": None})
    (folder / "data.yaml").write_text("format: yolo\ntrain: {images: a, labels: b}\n")
    (folder / "config.yaml").write_text("training: {steps: 9, seed: 3}\n")
    detector.save(folder / "weights.safetensors")
    (folder / "model.onnx").write_bytes(exported[1].read_bytes())
    save_checkpoint(folder / "checkpoint.pt", {"step": 1, "network": detector.network.state_dict()})
    batch = Batch(
        images=torch.zeros(1, 1, 64, 64), boxes=torch.zeros(1, 5), has_object=torch.zeros(1, dtype=torch.bool)
    )
    network = {"channels": (8, 8), "num_blocks": (1, 1)}
    configs = {"network": network, "codec": {}, "loss": {}, "training": {}}
    save_batch(folder / "nonfinite-0.pt", batch, step=1, weights=detector.network.state_dict(), configs=configs)
    (folder / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2}\n')
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def read():
    """Reads a file by the reader's name, in another process."""
    calls = LimitedCalls({name: reader for name, (reader, _) in READERS.items()})
    yield calls
    calls.end()


@pytest.mark.parametrize("name", READERS)
def test_good_files_are_read(name, contents, read, tmp_path):
    (tmp_path / name).write_bytes(contents[name])
    assert read(name, tmp_path / name) == ""


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("name", READERS)
def test_wrong_files_are_refused(name, kind, contents, read, tmp_path):
    path = tmp_path / name
    WRONG[kind](path, contents[name])
    message = read(name, path)
    if kind in ACCEPTED.get(name, ()):
        assert message == ""
    else:
        assert message.startswith("ValueError: ")
        assert str(path) in message
        assert any(word in message for word in (";", "must", "wanted", "equired"))  # a remedy
        assert len(message.splitlines()) == 1


@pytest.mark.parametrize("kind", DAMAGED)
@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_refused_or_read(name, kind, contents, read, tmp_path):
    path, (_, notices_any_damage) = tmp_path / name, READERS[name]
    DAMAGED[kind](path, contents[name])
    message = read(name, path)
    assert message or not notices_any_damage
    if message:
        assert message.startswith("ValueError: ")
        assert str(path) in message
        assert len(message.splitlines()) == 1


def png(*chunks, width=80, height=70):
    """A PNG file of a few chunks: (kind, content, declared length or None)."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", header, None), *chunks, (b"IDAT", zlib.compress(bytes(81 * 70)), None), (b"IEND", b"", None)]
    body = b"".join(
        struct.pack(">I", len(content) if length is None else length)
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content, length in parts
    )
    return b"\x89PNG\r\n\x1a\n" + body


def pages(count):
    """A TIFF file of several pages."""
    buffer, images = io.BytesIO(), [Image.fromarray(PIXELS)] * count
    images[0].save(buffer, "TIFF", save_all=True, append_images=images[1:])
    return buffer.getvalue()


def compressed(content):
    """The same zip archive with compressed entries."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bomb:
        for name in archive.namelist():
            bomb.writestr(name, archive.read(name) + bytes(10**7))
    return add_digest(buffer.getvalue())


LONG = "9" * 400
BOMBS = [
    ("image.png", lambda _: png((b"tEXt", b"", 0xFFFFFFF0)), "its chunk b'tEXt' ends after the file"),
    ("image.png", lambda _: png((b"iCCP", b"a", 0x7FFFFFFF)), "its chunk b'iCCP' ends after the file"),
    ("image.png", lambda _: png(width=1, height=10_000_000), "1 x 10000000 pixels, and 1 to 100,000,000"),
    ("image.png", lambda _: png((b"acTL", struct.pack(">II", 3, 0), None)), "it holds 3 pages"),
    ("image.tif", lambda _: pages(3), "it holds 3 pages, and one is read; save each page as a file"),
    ("config.yaml", lambda _: f"training: {{learning_rate: {LONG}}}".encode(), "training.learning_rate: got a whole"),
    ("config.yaml", lambda _: b"training: {learning_rate: 1.0e+300}", "learning_rate and clip_norm must be above 0"),
    ("config.yaml", lambda _: b"training: {learning_rate: 1.0e+999}", "only finite numbers"),
    ("config.yaml", lambda _: b"network: {num_blocks: [0]}", "one number per level each"),
    ("config.yaml", lambda _: b"network: {num_blocks: [1, 1, 1000000000]}", "num_blocks must lie in 0..64"),
    ("config.yaml", lambda _: b"network: {channels: [8, 8, 1000000]}", "from 8 to 4096"),
    ("config.yaml", lambda _: b"[" * 5000, "nested too deeply"),
    ("config.yaml", lambda _: b"[" * 400_000, "at most 300,000 are allowed"),
    ("data.yaml", lambda _: b"format: csv\nintensity_range: [0, 1.0e-300]", "intensity_range must be two increasing"),
    ("data.yaml", lambda _: b"format: csv\nintensity_range: [1]", "intensity_range"),
    ("yolo.txt", lambda _: b"0 1_00 0 0 0 0 0 0 0", "'1_00' is not a number"),
    ("labels.csv", lambda _: b"image,x,y,yaw,width,height\na.png,1,1,0,1_0,5\n", "'1_0' is not a number"),
    ("labels.csv", lambda _: b"x" * 10**7, "field larger than field limit"),
    ("checkpoint.pt", compressed, "it has compressed entries"),
    ("nonfinite-0.pt", compressed, "it has compressed entries"),
]


@pytest.mark.parametrize(("name", "make", "reason"), BOMBS)
def test_bombs_are_refused(name, make, reason, contents, read, tmp_path):
    path = tmp_path / name
    path.write_bytes(make(contents[name]))
    message = read(name, path)
    assert message.startswith("ValueError: ")
    assert str(path) in message
    assert reason in message


@pytest.mark.parametrize("content", ["[1]", "3", '"a"', "{}", '{"step": "x"}', '{"step": [1]}', "[" * 10**5, "null"])
def test_lines_of_a_log_that_are_no_entries_are_dropped(content):
    assert _step(content) == float("inf")
    assert json.loads('{"step": 2}')["step"] == _step('{"step": 2}') == 2
