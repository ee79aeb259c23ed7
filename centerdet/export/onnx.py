"""Export of a detector to one ONNX file, with a parity check. Importing this module needs no torch."""

from __future__ import annotations

import ast
import copy
import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from centerdet import box as box_module
from centerdet.box import Detection, box_corners
from centerdet.detector.base import BaseDetector
from centerdet.export.model_digest import DIGEST, EMPTY_DIGEST, add_digest
from centerdet.export.runtime import FORMAT, OnnxDetector
from centerdet.files import check_folder, write_atomically
from centerdet.preprocessing import PIXEL_RULE

if TYPE_CHECKING:
    from centerdet.detector.detector import Detector

# Batches of the parity check, (images, height, width): multiples of the network's cells and others, landscape and
# portrait. The graph is traced with 2 images.
PARITY_SHAPES = ((1, 200, 200), (2, 131, 90), (5, 64, 301))
PARITY_SEED = 0  # of the scenes of the parity check
TOLERANCES = {"corners": 1e-3, "scores": 1e-4, "heatmap": 1e-4}  # px, probability, probability
# Where two hypotheses are equally good, rounding decides. So results may differ further by as much as those of the
# detector itself change if each pixel changes by a few units in the last place.
ROUNDING, TRIALS, SLACK = 5e-7, 8, 3.0  # of a pixel's value; changed images; times the largest change seen


def export_onnx(detector: Detector, path: str | Path) -> None:
    """Writes a detector as one ONNX file, after checking that the model gives the detector's results.

    Input: ``images (B, 1, H, W)``, float32 in [0, 1], of any batch size and 64 to 10,000 px a side. Outputs: ``boxes
    (B, 5)``, ``scores (B,)`` and ``heatmap (B, H, W)``. The threshold is part of the metadata; the caller applies it,
    as ``OnnxDetector`` does.

    Args:
        detector: The detector.
        path: The file, with the suffix .onnx; an existing one is replaced atomically.

    Raises:
        ValueError: If the suffix is another, the folder is not writable, or the model's results differ.
        ImportError: If a package of the extra ``export`` is not installed.
    """
    missing = [name for name in ("onnx", "onnxruntime", "onnxscript") if find_spec(name) is None]
    if missing:
        raise ImportError(f"exporting needs {', '.join(missing)}: pip install '.[export]'")
    check_model_name(path)
    check_folder(path)
    from centerdet.export.graph import DetectorGraph, trace  # here, since OnnxDetector runs without torch

    detector = copy.deepcopy(detector).to("cpu")
    content = add_digest(trace(DetectorGraph(detector), _metadata(detector)))
    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        write_atomically(file, content)
        low, high = detector.intensity_range or (0.0, 1.0)
        batches = [[low + image * (high - low) for image in batch] for batch in _draw_scenes()]
        check_parity(detector, OnnxDetector(file), batches)
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


def _metadata(detector: Detector) -> dict[str, str]:
    header = {
        "preprocessing": PIXEL_RULE,
        "intensity_range": detector.intensity_range,
        "has_heading": detector.has_heading,
        "threshold": detector.threshold,
        "trained_noise_level": detector.trained_noise_level,
        "noise_level": detector.noise_level,
        "convention": _read_convention(),
        "metadata": detector.metadata,
    }
    return {"format": FORMAT, DIGEST: EMPTY_DIGEST} | {name: json.dumps(value) for name, value in header.items()}


def _read_convention() -> str:
    """Returns the docstring of ``box``, the only statement of the convention, also under ``python -OO``."""
    return ast.get_docstring(ast.parse(Path(box_module.__file__).read_text(encoding="utf-8"))) or ""


def _draw_scenes() -> list[list[NDArray[np.float64]]]:
    """Draws the images of ``PARITY_SHAPES``: scenes cropped around their ships; the last one of a batch has none."""
    from centerdet.synthetic.scenes import (  # here, since OnnxDetector runs without scikit-image
        LINE_RANGE,
        ScenesConfig,
        SyntheticScenes,
    )

    batches = []
    for count, *image_size in PARITY_SHAPES:
        images, side = [], max(LINE_RANGE, *image_size)
        for index in range(count):
            probability = float(index == 0 or index < count - 1)
            config = ScenesConfig(ship_probability=probability, image_size=side)
            image, box = SyntheticScenes(PARITY_SEED, config=config)[index]
            images.append(_crop(image, (box.y, box.x) if box else (0, 0), image_size))
        batches.append(images)
    return batches


def _crop(image: NDArray[np.float64], center: Sequence[float], size: Sequence[int]) -> NDArray[np.float64]:
    """Crops an image to (H, W), as near as possible to a centre (y, x)."""
    parts = []
    for middle, length, side in zip(center, size, image.shape, strict=True):
        first = int(np.clip(middle - length / 2, 0, side - length))
        parts.append(slice(first, first + length))
    return image[tuple(parts)]


def check_parity(detector: BaseDetector, exported: BaseDetector, batches: list[list[NDArray[np.float64]]]) -> None:
    """Checks that two detectors give the same results.

    Args:
        detector: The reference.
        exported: The detector to check. Both keep a threshold of 0.
        batches: Images ``(H, W)``, those of a batch of one size.

    Raises:
        ValueError: If corners, scores or heatmaps differ by more than ``TOLERANCES``, and not because of rounding.
    """
    threshold = detector.threshold
    detector.threshold = exported.threshold = 0.0  # so that every image has a detection
    wanted, got = (_run(one, batches) for one in (detector, exported))
    # In an empty image many places are equally unlikely: rounding may choose another one. Only detections count.
    detected = wanted["scores"] >= min(threshold, wanted["scores"].max())
    differences = {name: _largest(np.abs(wanted[name] - got[name])) for name in TOLERANCES}
    differences["corners"][~detected] = 0.0
    allowed = {name: np.full(len(differences[name]), tolerance) for name, tolerance in TOLERANCES.items()}
    if any((differences[name] > allowed[name]).any() for name in ("corners", "scores")):
        for name, change in _rounding_effect(detector, batches, wanted).items():
            allowed[name] += SLACK * change
    for name, tolerance in TOLERANCES.items():
        if not (differences[name] <= allowed[name]).all():
            error = differences[name].max()
            raise ValueError(
                f"the exported model's {name} differ from the detector's by {error:g}, more than {tolerance:g}; "
                "nothing was written; install the tested packages: pip install -r requirements-test.txt"
            )


def _rounding_effect(
    detector: BaseDetector, batches: list[list[NDArray[np.float64]]], results: dict[str, NDArray]
) -> dict[str, NDArray[np.float64]]:
    """How much the corners and scores ``(N,)`` of a detector's results change if rounding changes the pixels."""
    rng = np.random.default_rng(PARITY_SEED)
    effect = {name: np.zeros(len(results["scores"])) for name in ("corners", "scores")}
    for _ in range(TRIALS):
        noisy = [[image * (1 - ROUNDING * rng.random(image.shape)) for image in batch] for batch in batches]
        changed = _run(detector, noisy)
        for name, change in effect.items():
            np.maximum(change, _largest(np.abs(changed[name] - results[name])), out=change)
    return effect


def _largest(differences: NDArray) -> NDArray[np.float64]:
    """The largest difference of each row: ``(N, ...)`` to ``(N,)``; NaN stays NaN."""
    return differences.reshape(len(differences), -1).max(axis=1).astype(np.float64)


def _run(detector: BaseDetector, batches: list[list[NDArray[np.float64]]]) -> dict[str, NDArray]:
    """Corners ``(N, 4, 2)``, scores ``(N,)`` and all pixels of the heatmaps ``(P,)``."""
    detections: list[Detection] = []
    for images in batches:
        found = detector.detect_batch(images, batch_size=len(images))
        detections += [detection for detection in found if detection]  # all of them: the threshold is 0
    return {
        "corners": box_corners([detection.box.to_array() for detection in detections]),
        "scores": np.array([detection.score for detection in detections]),
        "heatmap": np.concatenate([detector.heatmap(image).ravel() for images in batches for image in images]),
    }
