"""Export of a detector to one ONNX file, with a parity check. Importing this module needs no torch."""

from __future__ import annotations

import ast
import copy
import json
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from centerdet import box as box_module
from centerdet.box import Detection, box_corners
from centerdet.detector.base import BaseDetector
from centerdet.export.runtime import FORMAT, OnnxDetector
from centerdet.files import check_folder, write_atomically
from centerdet.preprocessing import MIN_SIDE, PIXEL_RULE

if TYPE_CHECKING:
    from centerdet.detector.detector import Detector

PARITY_BATCHES = (1, 2, 5)  # batch sizes of the parity check; the graph is traced with 2
PARITY_SEED = 0  # of the scenes of the parity check
MAX_SIDE = 10_000  # px: the square scenes of the parity check then have at most 100 megapixels
TOLERANCES = {"corners": 1e-3, "scores": 1e-4, "heatmap": 1e-4}  # px, probability, probability


def export_onnx(detector: Detector, path: str | Path, *, image_size: tuple[int, int] = (200, 200)) -> None:
    """Writes a detector as one ONNX file, after checking that the model gives the detector's results.

    Input: ``images (B, 1, H, W)``, float32 in [0, 1]. Outputs: ``boxes (B, 5)``, ``scores (B,)`` and
    ``heatmap (B, H, W)``. The threshold is part of the metadata; the caller applies it, as ``OnnxDetector`` does.

    Args:
        detector: The detector.
        path: The file, with the suffix .onnx; an existing one is replaced atomically.
        image_size: (H, W) of the images that the model will take, each side 64 to 10,000 px.

    Raises:
        ValueError: If the size is out of range, the suffix is another, the folder is not writable, or the model's
            results differ.
        ImportError: If a package of the extra ``export`` is not installed.
    """
    missing = [name for name in ("onnx", "onnxruntime", "onnxscript") if find_spec(name) is None]
    if missing:
        raise ImportError(f"exporting needs {', '.join(missing)}: pip install '.[export]'")
    if len(image_size) != 2 or not all(isinstance(side, int) and MIN_SIDE <= side <= MAX_SIDE for side in image_size):
        raise ValueError(f"image_size must be (height, width), {MIN_SIDE} to {MAX_SIDE:,} px each, got {image_size}")
    check_model_name(path)
    check_folder(path)
    from centerdet.export.graph import DetectorGraph, trace  # here, since OnnxDetector runs without torch

    detector = copy.deepcopy(detector).to("cpu")
    image_size = image_size[0], image_size[1]  # a list is fine, too
    content = trace(DetectorGraph(detector, image_size), _metadata(detector, image_size))
    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        file.write_bytes(content)
        low, high = detector.intensity_range or (0.0, 1.0)
        scenes = [low + image * (high - low) for image in _draw_scenes(image_size)]
        check_parity(detector, OnnxDetector(file), scenes)
    write_atomically(path, content)


def check_model_name(path: str | Path) -> None:
    """Checks that a model's file ends in .onnx, so that a model never replaces weights.

    Raises:
        ValueError: If it ends in something else.
    """
    path = Path(path)
    if path.suffix != ".onnx":
        raise ValueError(
            f"an exported model must end in .onnx, got {path}; for a model of these weights: "
            f"centerdet export {path.with_suffix('.onnx') if path.name else 'model.onnx'} --weights {path}"
        )


def _metadata(detector: Detector, image_size: tuple[int, int]) -> dict[str, str]:
    header = {
        "image_size": image_size,
        "preprocessing": PIXEL_RULE,
        "intensity_range": detector.intensity_range,
        "has_heading": detector.has_heading,
        "threshold": detector.threshold,
        "convention": _read_convention(),
        "metadata": detector.metadata,
    }
    return {"format": FORMAT} | {name: json.dumps(value) for name, value in header.items()}


def _read_convention() -> str:
    """Returns the docstring of ``box``, the only statement of the convention, also under ``python -OO``."""
    return ast.get_docstring(ast.parse(Path(box_module.__file__).read_text(encoding="utf-8"))) or ""


def _draw_scenes(image_size: tuple[int, int]) -> list[NDArray[np.float64]]:
    """Draws one scene for each image of ``PARITY_BATCHES``, cropped around its ship; the last one has none."""
    from centerdet.synthetic.scenes import (  # here, since OnnxDetector runs without scikit-image
        LINE_RANGE,
        ScenesConfig,
        SyntheticScenes,
    )

    images, side = [], max(LINE_RANGE, *image_size)
    for index in range(sum(PARITY_BATCHES)):
        probability = float(index < sum(PARITY_BATCHES) - 1)
        config = ScenesConfig(ship_probability=probability, image_size=side)
        image, box = SyntheticScenes(PARITY_SEED, config=config)[index]
        center = (box.y, box.x) if box else (0, 0)
        crop = []
        for middle, length in zip(center, image_size, strict=True):
            first = int(np.clip(middle - length / 2, 0, side - length))
            crop.append(slice(first, first + length))
        images.append(image[tuple(crop)])
    return images


def check_parity(detector: BaseDetector, exported: BaseDetector, images: list[NDArray[np.float64]]) -> None:
    """Checks that two detectors give the same results, in batches of the sizes ``PARITY_BATCHES``.

    Args:
        detector: The reference.
        exported: The detector to check. Both keep a threshold of 0.
        images: ``(H, W)`` each, as many as the batches hold.

    Raises:
        ValueError: If corners, scores or heatmaps differ by more than ``TOLERANCES``.
    """
    threshold = detector.threshold
    detector.threshold = exported.threshold = 0.0  # so that every image has a detection
    wanted, got = (_run(one, images) for one in (detector, exported))
    # In an empty image many places are equally unlikely: rounding may choose another one. Only detections count.
    detected = wanted["scores"] >= min(threshold, wanted["scores"].max())
    for name, tolerance in TOLERANCES.items():
        difference = np.abs(wanted[name] - got[name])
        error = float(difference[detected].max() if name == "corners" else difference.max())
        if not error <= tolerance:
            raise ValueError(
                f"the exported model's {name} differ from the detector's by {error:g}, more than {tolerance:g}; "
                "nothing was written; install the tested packages: pip install -r requirements-test.txt"
            )


def _run(detector: BaseDetector, images: list[NDArray[np.float64]]) -> dict[str, NDArray]:
    """Corners ``(N, 4, 2)``, scores ``(N,)`` and heatmaps ``(N, H, W)`` of images in ``PARITY_BATCHES``."""
    detections: list[Detection] = []
    remaining = iter(images)
    for count in PARITY_BATCHES:
        found = detector.detect_batch(list(islice(remaining, count)), batch_size=count)
        detections += [detection for detection in found if detection]  # all of them: the threshold is 0
    return {
        "corners": box_corners([detection.box.to_array() for detection in detections]),
        "scores": np.array([detection.score for detection in detections]),
        "heatmap": np.stack([detector.heatmap(image) for image in images]),
    }
