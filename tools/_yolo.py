"""A YOLO-OBB of Ultralytics as a peer: its copy of a data set, its training within a CPU time, and a detector of it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from centerdet.box import Detection, RotatedBox
from centerdet.data.dataset import Dataset
from centerdet.data.drawn_box import box_from_drawn_corners, drawn_corners
from centerdet.data.image_io import image_size
from centerdet.files import make_folder, write_atomically
from tools._subset import link_files

if TYPE_CHECKING:
    from ultralytics import YOLO  # type: ignore[import-not-found]  # in an environment of its own

SPLITS = {"train": "train", "validation": "val", "test": "test"}  # ours, and the names of its folders and keys
STRIDE = 32  # px, of its coarsest map: sides of its images are multiples of it
MIN_CONFIDENCE = 0.001  # of boxes that it returns; the threshold is chosen later
EPOCHS = 100_000  # more than the time allows: it counts its epochs anew after each one
# What its optimizer=auto sets for fewer than 10,000 steps and one class.
OPTIMIZER = {"optimizer": "AdamW", "lr0": 0.002, "momentum": 0.9, "warmup_bias_lr": 0.0}


def write_yolo_dataset(splits: dict[str, Dataset], folder: Path) -> Path:
    """Writes links to the images, and labels as Ultralytics wants them; returns its YAML file.

    It ignores images with corners outside, so those are moved to the border.
    """
    for split, name in SPLITS.items():
        items, labels = splits[split].items, folder / "labels" / name
        make_folder(labels)
        for link, item in zip(link_files([item.path for item in items], folder / "images" / name), items, strict=True):
            line = "" if item.box is None else format_label(item.box, image_size(item.path))
            write_atomically(labels / Path(link).with_suffix(".txt"), line.encode())
    path = folder / "data.yaml"
    settings = {"path": str(folder.resolve()), "names": {0: "object"}}
    folders = {name: f"images/{name}" for name in SPLITS.values()}
    write_atomically(path, yaml.safe_dump(settings | folders).encode())
    return path


def format_label(box: RotatedBox, size: tuple[int, int]) -> str:
    """Returns the line of a label; size: width and height of the image, px."""
    corners = (drawn_corners(box) / size).clip(0, 1)
    return f"0 {' '.join(f'{value:.6f}' for value in corners.ravel())}\n"


def import_yolo() -> type[YOLO]:
    """Imports Ultralytics' class of models, without what it does on the network.

    Raises:
        ImportError: If it is not installed.
    """
    os.environ |= {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false"}
    try:
        from ultralytics import YOLO
    except ImportError:
        raise ImportError(
            "Ultralytics is not installed here: make an environment of its own, as described by "
            "'python tools/compare_yolo.py --help', and run the script with its python"
        ) from None
    return YOLO


def train_yolo(data: Path, folder: Path, *, model: str, minutes: float, side: int, seed: int) -> Path:
    """Trains a model from scratch on one thread; returns its weights file.

    Args:
        data: Its YAML file.
        folder: For the run.
        model: Name of a model without weights, such as ``yolo26n-obb.yaml``.
        minutes: CPU time of the training, in place of the wall time that it would count.
        side: Side of its images, px.
        seed: Seed of its weights and batches.
    """
    yolo = import_yolo()
    from ultralytics.engine import trainer  # type: ignore[import-not-found]

    trainer.time = SimpleNamespace(time=time.process_time)  # its limit is one of wall time, which others slow down
    network = yolo(model)
    network.add_callback("on_train_start", lambda _: torch.set_num_threads(1))  # it sets its own number before
    network.train(
        **OPTIMIZER,
        data=str(data),
        project=str(folder.resolve()),
        name="run",
        time=minutes / 60,
        epochs=EPOCHS,
        patience=0,
        imgsz=side,
        batch=16,
        seed=seed,
        device="cpu",
        workers=0,
        amp=False,
        cache="ram",
        val=False,  # all of the time is for training
        plots=False,
        verbose=False,
    )
    return folder / "run" / "weights" / "last.pt"


class YoloDetector:
    """The most likely box of a trained model; without a heading, which its boxes do not have.

    Args:
        weights: From ``train_yolo``.
        side: Side of its images, px.

    Attributes:
        threshold: Confidence of the least likely box that counts.
        parameters: Number of parameters.
    """

    def __init__(self, weights: Path, side: int) -> None:
        self._model, self._side, self.threshold = import_yolo()(str(weights)), side, 0.0
        self.parameters = sum(parameter.numel() for parameter in self._model.model.parameters())

    def __call__(self, image: NDArray) -> Detection | None:
        """Finds the object in an image ``(H, W)`` of 8 bits."""
        if image.dtype != np.uint8:
            raise ValueError(f"the comparison needs images of 8 bits, got {image.dtype}; convert them")
        picture = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        options: dict[str, Any] = {"imgsz": self._side, "conf": MIN_CONFIDENCE, "device": "cpu", "verbose": False}
        found = self._model.predict(picture, **options)[0].obb
        if len(found) == 0:
            return None
        best = int(found.conf.argmax())
        score = float(found.conf[best])
        if score < self.threshold:
            return None
        box = box_from_drawn_corners(found.xyxyxyxy[best].numpy(), has_heading=False)
        return Detection(box, score, has_heading=False)
