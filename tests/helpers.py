"""Builders and comparisons that several test files share."""

import io
import json
import math
import resource
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import torch
from hypothesis import strategies as st
from skimage.draw import polygon

import centerdet
from centerdet import CenterLoss, CenterNet, Codec, NetworkConfig, RotatedBox, TrainingConfig, fit
from centerdet.box import box_corners, yaw_error
from centerdet.data import dota, yolo_obb
from centerdet.data.csv_labels import write_csv
from centerdet.export.model_digest import add_digest as add_model_digest
from centerdet.synthetic.batches import CurriculumConfig, Phase, SyntheticBatches
from centerdet.training.checkpoint import add_digest, load_checkpoint
from centerdet.training.run_state import TrainingRun

ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "golden"


def make_detector(seed=0, **config):
    """A small network with random weights, whose predictions depend on the position, as those of a trained network."""
    torch.manual_seed(seed)
    network = centerdet.CenterNet(centerdet.NetworkConfig(**{"channels": (8, 8), "num_blocks": (1, 1), **config}))
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.is_floating_point() and not name.endswith("matrices"):
                value.copy_(
                    torch.rand_like(value) + 0.5 if name.endswith("var") else value + torch.randn_like(value) / 5
                )
        network.heads.scalars[1:] /= 10  # positive sizes
        network.heads.bias.copy_(torch.tensor([-3.0, 1.0, 1.5]))
    codec = centerdet.Codec(stride=network.config.stride)
    return centerdet.Detector(network, codec, threshold=0.2, metadata={"validation": {"ap": 0.5}})


# Data sets of own images.

SHAPE = (96, 128)


def draw_box(box, shape=SHAPE):
    """A wedge that fills its box: bright, brightest at the nose."""
    u = np.array([-0.2, 0.2, 0.5, -0.5]) * box.width
    v = np.array([0.5, 0.5, -0.5, -0.5]) * box.height
    cos, sin = math.cos(box.yaw), math.sin(box.yaw)
    image = np.full(shape, 0.2, np.float32)
    image[polygon(box.y - u * sin + v * cos, box.x + u * cos + v * sin, shape=shape)] = 0.9
    return image


def draw_8bit(box, shape=SHAPE):
    image = draw_box(box, shape) if box else np.full(shape, 0.2)
    return (image * 255).round().astype(np.uint8)


def write_images(folder, boxes, shape=SHAPE):
    folder.mkdir(parents=True, exist_ok=True)
    for index, box in enumerate(boxes):
        cv2.imwrite(str(folder / f"{index:03}.png"), draw_8bit(box, shape))


BOXES = [
    RotatedBox(60, 40, 0.3, 20, 40),
    RotatedBox(30, 60, -2.0, 16, 30),
    None,
    RotatedBox(100, 20, 3.0, 18, 26),
]


def write_dataset(root, format, boxes=BOXES, split="train", shape=SHAPE):
    """A data set of one split; returns its YAML file."""
    images = root / split / "images"
    write_images(images, boxes, shape=shape)
    if format == "csv":
        labels = root / split / "labels.csv"
        write_csv(labels, {f"{index:03}.png": box for index, box in enumerate(boxes)})
    else:
        labels = root / split / "labels"
        labels.mkdir()
        for index, box in enumerate(boxes):
            if box:
                line = dota.format_line(box) if format == "dota" else yolo_obb.format_line(box, size=shape[::-1])
                (labels / f"{index:03}.txt").write_text(line + "\n")
    path = root / "data.yaml"
    old = path.read_text() if path.exists() else f"format: {format}\n"
    path.write_text(f"{old}{split}: {{images: {split}/images, labels: {labels.relative_to(root)}}}\n")
    return path


# Small training runs.

TINY = NetworkConfig(channels=(8, 8), num_blocks=(1, 1))
CONFIG = TrainingConfig(steps=6, warmup_steps=2, log_every=1, validate_every=3, checkpoint_every=2)
VALIDATION = [centerdet.SyntheticScenes(1_000_000)[index] for index in range(10)]


class SmallBatches:
    """Batches of small crops; ``before`` is called with the number of each step."""

    def __init__(self, before=lambda step: None):
        curriculum = CurriculumConfig(batch_size=4, phases=(Phase(crop_size=64),))
        self.batches, self.before = SyntheticBatches(0, steps=100, curriculum=curriculum), before

    def __getitem__(self, step):
        self.before(step)
        return self.batches[step]


class BrokenBatches(SmallBatches):
    """One image of batch 3 is NaN."""

    def __getitem__(self, step):
        batch = super().__getitem__(step)
        if step == 3:
            batch.images[2] = np.nan
        return batch


def make_run(directory, config=CONFIG):
    return TrainingRun(CenterNet(TINY), Codec(), CenterLoss(), config, directory, torch.device("cpu"), {})


def train_tiny(directory, *, source=None, config=CONFIG, resume=False, settings=None, on_log=None):
    torch.manual_seed(0)
    return fit(
        CenterNet(TINY),
        Codec(),
        CenterLoss(),
        source or SmallBatches(),
        VALIDATION,
        config=config,
        directory=directory,
        resume=resume,
        settings=settings,
        on_log=on_log,
    )


def entries(directory):
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


def weights(directory):
    state = state_of(directory)
    return {**state["network"], **{f"ema.{key}": value for key, value in state["ema"].items()}}


def without_times(value):
    """The same nested values without speeds, which differ from run to run."""
    if isinstance(value, dict):
        return {key: without_times(part) for key, part in value.items() if key != "images_per_second"}
    return value


def state_of(directory):
    return load_checkpoint(directory / "checkpoint.pt", settings=None)


def save_state(state, path):
    """Writes a checkpoint of any content, with the digest that belongs to it."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    path.write_bytes(add_digest(buffer.getvalue()))


def save_model(model, path):
    """Writes an ONNX model of any content, with the digest that belongs to it."""
    path.write_bytes(add_model_digest(model.SerializeToString()))


def assert_same_run(directory, other):
    """Two runs have the same weights to the bit, log, best report and detectors."""
    expected, resumed = weights(other), weights(directory)
    assert expected.keys() == resumed.keys()
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)
    assert [without_times(entry) for entry in entries(directory)] == [without_times(entry) for entry in entries(other)]
    assert without_times(state_of(directory)["best"]) == without_times(state_of(other)["best"])
    for name in ("best.safetensors", "last.safetensors"):
        ours, theirs = centerdet.load(directory / name), centerdet.load(other / name)
        assert ours.threshold == theirs.threshold
        assert without_times(ours.metadata) == without_times(theirs.metadata)
        pairs = zip(ours.network.state_dict().values(), theirs.network.state_dict().values(), strict=True)
        assert all(torch.equal(one, another) for one, another in pairs)


def noisy_bar(side, seed):
    """Noise with a bright bar."""
    rng = np.random.default_rng(seed)
    image = rng.random((side, side + seed % 3)) * 0.7
    y, x = rng.integers(5, side - 35, 2)
    image[y : y + 12, x : x + 30] = 0.9 + 0.1 * rng.random((12, 30))
    return image


# Labels.

label_boxes = st.builds(  # boxes in an image of 320 x 200 px, and a little outside
    RotatedBox,
    x=st.floats(-20, 340),
    y=st.floats(-20, 220),
    yaw=st.floats(-math.pi, math.pi),
    width=st.floats(5, 80),
    height=st.floats(5, 80),
)


def assert_same_box(found, box, *, turns=1):
    """Compares two boxes as exactly as label files store them; with ``turns=2``, half a turn makes no difference."""
    np.testing.assert_allclose(found.to_array()[[0, 1, 3, 4]], box.to_array()[[0, 1, 3, 4]], atol=1e-3)
    assert yaw_error(turns * found.yaw, turns * box.yaw) < 1e-3


def make_noise(count, shape=(200, 200)):
    """Images of uniform noise, the same ones for the same count."""
    return list(np.random.default_rng(count).random((count, *shape)))


def assert_same_boxes(detections, wanted):
    """Compares corners (to 0.001 px) and scores (to 0.0001) of detections."""
    corners = [box_corners([detection.box.to_array() for detection in part]) for part in (detections, wanted)]
    np.testing.assert_allclose(*corners, atol=1e-3)
    np.testing.assert_allclose([one.score for one in detections], [one.score for one in wanted], atol=1e-4)


@contextmanager
def full_disk(bytes):
    """Lets no file grow beyond a number of bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def contents(folder):
    """The content of each file in a folder and its subfolders."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
