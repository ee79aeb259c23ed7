"""Detector that runs an exported model with numpy and onnxruntime, without torch."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from centerdet.detector.base import BaseDetector
from centerdet.files import read_regular
from centerdet.preprocessing import MIN_SIDE

if TYPE_CHECKING:
    import onnxruntime

FORMAT = "centerdet onnx 3"
LOG_ERRORS = 3  # severity level of onnxruntime
MAX_BYTES = 2**30  # of a file, which is read as a whole
MAX_SIDE = 10_000  # px, of the images of a model
_FLOAT = "tensor(float)"  # onnxruntime's name of float32


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
            import onnxruntime  # noqa: F401
        except ImportError:
            raise ImportError("running a model needs onnxruntime: pip install '.[export]'") from None
        self._threads = (os.cpu_count() or 1) if threads is None else threads
        if self._threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        try:
            self._content = read_regular(path, max_bytes=MAX_BYTES)
            self._open_sessions()
            header = _read_metadata(self._all_threads)
            self.image_size: tuple[int, int] = tuple(header["image_size"])
            _check_signature(self._all_threads, self.image_size)
            super().__init__(**{name: header[name] for name in _HEADER if name != "image_size"})
        except (LookupError, MemoryError, OSError, TypeError, ValueError, RecursionError) as error:
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise ValueError(f"cannot load model {path}: {reason}; give a file that centerdet export wrote") from None

    def _open_sessions(self) -> None:
        import onnxruntime

        # Without this option, all outputs are computed even if only one is wanted.
        self._options = onnxruntime.RunOptions()
        self._options.only_execute_path_to_fetches = True
        self._all_threads = _open(self._content, self._threads)  # for few images: all threads share each operation
        # For many images: each thread runs its own share.
        self._one_thread = self._all_threads if self._threads == 1 else _open(self._content, 1)

    def __getstate__(self) -> dict[str, Any]:
        sessions = ("_options", "_all_threads", "_one_thread")  # these cannot be copied: they are made again
        return {name: value for name, value in self.__dict__.items() if name not in sessions}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open_sessions()

    def heatmap(self, image: ArrayLike) -> NDArray[np.float32]:
        """The centre heatmap: probabilities ``(H, W)``, aligned with the image; the same as that of ``Detector``.

        Raises:
            ValueError: If ``detect`` would refuse the image.
        """
        (heatmap,) = self._run(["heatmap"], self._prepare(image)[None])
        if heatmap.shape != (1, *self.image_size) or not np.isfinite(heatmap).all():
            raise ValueError("the model's heatmap is not finite or of another size; export it again: centerdet export")
        return heatmap[0]

    def _decode(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        boxes, scores = self._run(["boxes", "scores"], images)
        if boxes.shape != (len(images), 5) or scores.shape != (len(images),):
            raise ValueError(
                f"the model gave boxes and scores of shapes {boxes.shape} and {scores.shape} for {len(images)} images; "
                "export it again: centerdet export"
            )
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


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_size(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(side) is int for side in value)


# Each entry of a model's metadata: whether a value has the right type, and that type in words. ``BaseDetector`` checks
# the ranges. This is not done by pydantic, since numpy and onnxruntime are all that running a model needs.
_HEADER: dict[str, tuple[Callable[[Any], bool], str]] = {
    "image_size": (_is_size, "two whole numbers"),
    "threshold": (_is_number, "a number"),
    "intensity_range": (lambda value: value is None or isinstance(value, list), "two numbers or null"),
    "has_heading": (lambda value: isinstance(value, bool), "true or false"),
    "metadata": (lambda value: isinstance(value, dict), "an object"),
}


def _read_metadata(session: onnxruntime.InferenceSession) -> dict[str, Any]:
    texts = dict(session.get_modelmeta().custom_metadata_map)
    if texts.pop("format", None) != FORMAT:
        raise ValueError(f"not a {FORMAT!r} file")
    header = {}
    for name, (has_type, wanted) in _HEADER.items():
        if name not in texts:
            raise ValueError(f"its metadata have no {name!r}")
        header[name] = json.loads(texts[name])
        if not has_type(header[name]):
            raise ValueError(f"{name} must be {wanted}, got {texts[name][:60]}")
    return header


def _check_signature(session: onnxruntime.InferenceSession, image_size: tuple[int, int]) -> None:
    """Checks the names, types and shapes of a model's input and outputs."""
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in image_size):
        raise ValueError(f"image_size must be {MIN_SIDE} to {MAX_SIDE:,} px each, got {image_size}")
    wanted = {
        "images": [1, *image_size],
        "boxes": [5],
        "scores": [],
        "heatmap": [*image_size],
    }
    found = {part.name: part for part in (*session.get_inputs(), *session.get_outputs())}
    if sorted(found) != sorted(wanted) or len(session.get_inputs()) != 1:
        raise ValueError(f"it must have the input and outputs {', '.join(wanted)}, got {', '.join(found)[:200]}")
    for name, shape in wanted.items():
        if found[name].type != _FLOAT or list(found[name].shape[1:]) != shape or found[name].shape[:1] != ["batch"]:
            raise ValueError(
                f"{name} must be {_FLOAT} of shape {['batch', *shape]}, got {found[name].type} of {found[name].shape}"
            )
