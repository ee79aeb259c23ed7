"""Detector that runs an exported model with numpy and onnxruntime, without torch."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from centerdet.detector.base import BaseDetector

if TYPE_CHECKING:
    import onnxruntime

FORMAT = "centerdet onnx 3"
LOG_ERRORS = 3  # severity level of onnxruntime


class OnnxDetector(BaseDetector):
    """Finds at most one rotated object in a single-channel image, with a model that ``export_onnx`` wrote.

    It has the methods of ``Detector`` (except for refinement) and gives the same results, for images of one size.

    Attributes:
        image_size: (H, W) of the images it takes, px.
        metadata: The detector's ``metadata``.

    Args:
        path: The ``.onnx`` file.
        threads: CPU threads; ``None``: one per core.

    Raises:
        ValueError: If the file is missing, damaged, or not a centerdet model of this version, or threads < 1.
        ImportError: If onnxruntime is not installed.
    """

    def __init__(self, path: str | Path, *, threads: int | None = None) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise ImportError("running a model needs onnxruntime: pip install '.[export]'") from None
        self._threads = (os.cpu_count() or 1) if threads is None else threads
        if self._threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        # Without this option, all outputs are computed even if only one is wanted.
        self._options = onnxruntime.RunOptions()
        self._options.only_execute_path_to_fetches = True
        try:
            content = Path(path).read_bytes()  # its OSError is clearer than onnxruntime's error
            self._all_threads = _open(content, self._threads)  # for few images: all threads share each operation
            # For many images: each thread runs its own share.
            self._one_thread = self._all_threads if self._threads == 1 else _open(content, 1)
            header = _read_metadata(self._all_threads)
            self.image_size = tuple(header["image_size"])
            super().__init__(
                threshold=header["threshold"],
                intensity_range=None if header["intensity_range"] is None else tuple(header["intensity_range"]),
                has_heading=header["has_heading"],
                metadata=header["metadata"],
            )
        except (KeyError, OSError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ValueError(f"cannot load model {path}: {reason}; give a file that centerdet export wrote") from None

    def heatmap(self, image: ArrayLike) -> NDArray[np.float32]:
        """The centre heatmap: probabilities ``(H, W)``, aligned with the image; the same as that of ``Detector``.

        Raises:
            ValueError: If ``detect`` would refuse the image.
        """
        (heatmap,) = self._run(["heatmap"], self._prepare(image)[None])
        return heatmap[0]

    def _decode(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        boxes, scores = self._run(["boxes", "scores"], images)
        return boxes, scores

    def _run(self, outputs: list[str], images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        def run_on(session: onnxruntime.InferenceSession, part: NDArray[np.float32]) -> list[NDArray[np.float32]]:
            return session.run(outputs, {"images": part[:, None]}, self._options)

        if self._threads == 1 or len(images) < self._threads:
            return run_on(self._all_threads, images)
        with ThreadPoolExecutor(self._threads) as pool:
            parts = list(pool.map(lambda part: run_on(self._one_thread, part), np.array_split(images, self._threads)))
        return [np.concatenate(output) for output in zip(*parts, strict=True)]

    def _prepare(self, image: ArrayLike) -> NDArray[np.float32]:
        array = super()._prepare(image)
        if array.shape != self.image_size:
            height, width = array.shape
            raise ValueError(
                f"this model takes images of shape {self.image_size}, got {array.shape}; crop or pad it, "
                f"or export a model for that size: centerdet export model.onnx --image-size {height} {width}"
            )
        return array


def _open(content: bytes, threads: int) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = LOG_ERRORS
    options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no narrower base class
        raise ValueError(f"not a complete ONNX file ({error})") from None


def _read_metadata(session: onnxruntime.InferenceSession) -> dict[str, Any]:
    texts = dict(session.get_modelmeta().custom_metadata_map)
    if texts.pop("format", None) != FORMAT:
        raise ValueError(f"not a {FORMAT!r} file")
    header = {name: json.loads(text) for name, text in texts.items()}
    if not isinstance(header["metadata"], dict):
        raise ValueError(f"metadata must be an object, got {header['metadata']!r}")
    shapes = [part.shape for part in session.get_inputs()]
    if shapes != [["batch", 1, *header["image_size"]]]:
        raise ValueError(f"it takes arrays of shapes {shapes}, its image_size is {header['image_size']}")
    return header
