"""A detector as one ONNX file, and ``OnnxDetector``, which runs it. Importing this needs no torch."""

from __future__ import annotations

import copy
import inspect
import json
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from centerdet import box as box_module
from centerdet.box import box_corners
from centerdet.detector.base import BaseDetector
from centerdet.export.runtime import FORMAT, OnnxDetector
from centerdet.files import check_folder, write_atomically
from centerdet.preprocessing import MIN_SIDE, PIXEL_RULE

if TYPE_CHECKING:
    from centerdet.detector.detector import Detector

BATCHES = (1, 2, 5)  # the batch is dynamic: sizes that the traced one, 2, could hide
MAX_SIDE = 10_000  # px: the scenes that a model is checked on are square, of 100 megapixels at most, as images are
LIMITS = {"corners": 1e-3, "scores": 1e-4, "heatmap": 1e-4}  # px, and probabilities


def export_onnx(detector: Detector, path: str | Path, *, image_size: tuple[int, int] = (200, 200)) -> None:
    """Writes a detector as one ONNX file, once the file is seen to find what the detector finds.

    Input: ``images (B, 1, H, W)``, float32 in [0, 1]. Outputs: ``boxes (B, 5)``, ``scores (B,)`` and
    ``heatmap (B, H, W)``. The threshold is metadata: it is for the caller to apply, as ``OnnxDetector`` does.

    Args:
        detector: What to export.
        path: The file; an old one is replaced, by the whole new one or not at all.
        image_size: (H, W) in pixels of the images that the model will take, each side 64 to 10,000.

    Raises:
        ValueError: If the size is out of range, the folder not writable, or the model's answers not the detector's.
        ImportError: If a package of the extra ``export`` is not installed.
    """
    missing = [name for name in ("onnx", "onnxruntime", "onnxscript") if find_spec(name) is None]
    if missing:
        raise ImportError(f"exporting needs {', '.join(missing)}: pip install 'centerdet[export]'")
    if len(image_size) != 2 or not all(isinstance(side, int) and MIN_SIDE <= side <= MAX_SIDE for side in image_size):
        raise ValueError(f"image_size must be (height, width), {MIN_SIDE} to {MAX_SIDE:,} px each, got {image_size}")
    check_folder(path)
    from centerdet.export.graph import DetectorGraph, trace  # here, since OnnxDetector does without torch

    detector = copy.deepcopy(detector).to("cpu")
    image_size = tuple(image_size)
    content = trace(DetectorGraph(detector, image_size), _metadata(detector, image_size))
    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        file.write_bytes(content)
        low, high = detector.intensity_range or (0.0, 1.0)
        check_parity(detector, OnnxDetector(file), [low + image * (high - low) for image in _scenes(image_size)])
    write_atomically(path, content)


def _metadata(detector: Detector, image_size: tuple[int, int]) -> dict[str, str]:
    header = {
        "image_size": image_size,
        "preprocessing": PIXEL_RULE,
        "intensity_range": detector.intensity_range,
        "has_heading": detector.has_heading,
        "threshold": detector.threshold,
        "convention": inspect.getdoc(box_module),  # stated once, there
        "metadata": detector.metadata,
    }
    return {"format": FORMAT} | {name: json.dumps(value) for name, value in header.items()}


def _scenes(image_size: tuple[int, int]) -> list[NDArray[np.float64]]:
    """One scene for each image of ``BATCHES``, cut around its ship; the last one is empty."""
    from centerdet.synthetic.scenes import (  # here, since OnnxDetector does without scikit-image
        LINE_RANGE,
        ScenesConfig,
        SyntheticScenes,
    )

    images, side = [], max(LINE_RANGE, *image_size)
    for index in range(sum(BATCHES)):
        ship = float(index < sum(BATCHES) - 1)
        image, box = SyntheticScenes(0, config=ScenesConfig(ship_probability=ship, image_size=side))[index]
        center = (box.y, box.x) if box else (0, 0)
        window = []
        for middle, length in zip(center, image_size, strict=True):
            first = int(np.clip(middle - length / 2, 0, side - length))
            window.append(slice(first, first + length))
        images.append(image[tuple(window)])
    return images


def check_parity(detector: BaseDetector, exported: BaseDetector, images: list[NDArray[np.float64]]) -> None:
    """Raises a ``ValueError`` unless both say the same of the images, in every size of batch."""
    threshold = detector.threshold
    detector.threshold = exported.threshold = 0.0  # so that every image has an answer
    wanted, got = (_answers(finder, images) for finder in (detector, exported))
    # Where nothing is seen, rounding may choose another of many equally empty places, or heading.
    seen = wanted["scores"] >= min(threshold, wanted["scores"].max())
    for name, limit in LIMITS.items():
        difference = np.abs(wanted[name] - got[name])
        error = float(difference[seen].max() if name == "corners" else difference.max())
        if not error <= limit:
            raise ValueError(
                f"the exported model's {name} differ from the detector's by {error:g}, at most {limit:g} is right; "
                "nothing was written; install the versions of onnx, onnxruntime and onnxscript in requirements.txt"
            )


def _answers(finder: BaseDetector, images: list[NDArray[np.float64]]) -> dict[str, NDArray]:
    """Corners ``(N, 4, 2)``, scores ``(N,)`` and heatmaps ``(N, H, W)``, of images given in ``BATCHES``."""
    found, rest = [], images
    for count in BATCHES:
        found += finder.detect_batch(rest[:count], batch_size=count)
        rest = rest[count:]
    return {
        "corners": box_corners([answer.box.to_array() for answer in found]),
        "scores": np.array([answer.score for answer in found]),
        "heatmap": np.stack([finder.heatmap(image) for image in images]),
    }
