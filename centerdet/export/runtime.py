"""Detector that runs an exported model with numpy and onnxruntime, without torch."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from centerdet.detector.base import NO_NOISE_LEVEL, BaseDetector
from centerdet.export.model_digest import check_digest
from centerdet.export.providers import CPU, Provider, check_providers, provider_name
from centerdet.files import read_regular
from centerdet.noise_level import NoiseLevel, check_noise_level
from centerdet.parallel import MAX_THREADS

if TYPE_CHECKING:
    import onnxruntime

FORMAT = "centerdet onnx 5"
LOG_ERRORS = 3  # severity level of onnxruntime
MAX_BYTES = 2**30  # of a file, which is read as a whole
MAX_SIDE = 10_000  # px, of an image
_FLOAT = "tensor(float)"  # onnxruntime's name of float32


class OnnxDetector(BaseDetector):
    """Finds at most one rotated object in a single-channel image, with a model that ``export_onnx`` wrote.

    It has the methods of ``Detector`` (except for refinement) and gives the same results.

    Attributes:
        metadata: The detector's ``metadata``.

    Args:
        path: The ``.onnx`` file.
        threads: CPU threads; ``None``: one per core.
        providers: Execution providers of onnxruntime in order of preference, such as ``CUDAExecutionProvider`` or
            ``("CUDAExecutionProvider", {"device_id": 1})``. The first one must work.

    Raises:
        ValueError: If the file is missing, damaged, or not a centerdet model of this version, the number of
            threads is not in 1 to 1024, or a provider is not available.
        ImportError: If onnxruntime is not installed.
    """

    def __init__(self, path: str | Path, *, threads: int | None = None, providers: Sequence[Provider] = (CPU,)) -> None:
        try:
            import onnxruntime  # noqa: F401
        except ImportError:
            raise ImportError("running a model needs onnxruntime: pip install '.[export]'") from None
        self._threads = min(os.cpu_count() or 1, MAX_THREADS) if threads is None else threads
        if not 1 <= self._threads <= MAX_THREADS:
            raise ValueError(f"threads must be at least 1, and at most {MAX_THREADS}, got {threads}")
        self._providers = check_providers(providers)
        try:
            self._content = read_regular(path, max_bytes=MAX_BYTES)
            check_digest(self._content)
            self._open_sessions()
            header = _read_metadata(self._all_threads)
            _check_signature(self._all_threads)
            super().__init__(**header)
        except (LookupError, MemoryError, OSError, TypeError, ValueError, RecursionError) as error:
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise ValueError(f"cannot load model {path}: {reason}; give a file that centerdet export wrote") from None

    def _open_sessions(self) -> None:
        import onnxruntime

        # Without this option, all outputs are computed even if only one is wanted.
        self._options = onnxruntime.RunOptions()
        self._options.only_execute_path_to_fetches = True
        # For few images: all threads share each operation.
        self._all_threads = _open(self._content, self._threads, self._providers)
        # For many images on the CPU: each thread runs its own share.
        self._shares = self._threads if provider_name(self._providers[0]) == CPU else 1
        self._one_thread = self._all_threads if self._shares == 1 else _open(self._content, 1, self._providers)

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
        if heatmap.shape != (1, *np.shape(image)) or not np.isfinite(heatmap).all():
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

    def with_noise_level(self, level: NoiseLevel) -> OnnxDetector:
        """Returns a detector with the same model for images with another noise level; as ``Detector`` has it.

        Raises:
            ValueError: If the level is out of range, or the model's network has none.
        """
        if self.trained_noise_level is None:
            raise ValueError(NO_NOISE_LEVEL)
        changed = copy.copy(self)
        changed.noise_level, changed._warned = check_noise_level(level), False
        return changed

    def _run(self, outputs: list[str], images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        images = self._to_trained_level(images)

        def run_on(session: onnxruntime.InferenceSession, part: NDArray[np.float32]) -> list[NDArray[np.float32]]:
            return session.run(outputs, {"images": part[:, None]}, self._options)

        if self._shares == 1 or len(images) < self._shares:
            return run_on(self._all_threads, images)
        with ThreadPoolExecutor(self._shares) as pool:
            parts = list(pool.map(lambda part: run_on(self._one_thread, part), np.array_split(images, self._shares)))
        return [np.concatenate(output) for output in zip(*parts, strict=True)]

    def _prepare(self, image: ArrayLike) -> NDArray[np.float32]:
        array = super()._prepare(image)
        if max(array.shape) > MAX_SIDE:
            raise ValueError(f"an exported model takes at most {MAX_SIDE:,} px a side, got {array.shape}; crop it")
        return array


def _open(content: bytes, threads: int, providers: list[Provider]) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = LOG_ERRORS
    options.intra_op_num_threads = threads
    # Without enable_fallback=0, onnxruntime prints errors to stdout and tries again on the CPU.
    try:
        session = onnxruntime.InferenceSession(content, options, providers=providers, enable_fallback=0)
    except Exception as error:  # onnxruntime's errors have no narrower base class
        raise ValueError(f"not a complete ONNX file ({error})") from None
    wanted = provider_name(providers[0])
    if wanted not in session.get_providers():  # onnxruntime then uses the CPU without an error
        raise ValueError(f"onnxruntime cannot use {wanted} on this machine; use {CPU} (--device cpu)")
    return session


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# Each entry of a model's metadata: whether a value has the right type, and that type in words. ``BaseDetector`` checks
# the ranges. This is not done by pydantic, since numpy and onnxruntime are all that running a model needs.
_HEADER: dict[str, tuple[Callable[[Any], bool], str]] = {
    "threshold": (_is_number, "a number"),
    "intensity_range": (lambda value: value is None or isinstance(value, list), "two numbers or null"),
    "has_heading": (lambda value: isinstance(value, bool), "true or false"),
    "trained_noise_level": (lambda value: value is None or _is_number(value), "a number or null"),
    "noise_level": (lambda value: value in (None, "auto") or _is_number(value), 'a number, "auto" or null'),
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


def _check_signature(session: onnxruntime.InferenceSession) -> None:
    """Checks the names, types and shapes of a model's input and outputs."""
    wanted = {
        "images": ["batch", 1, "height", "width"],
        "boxes": ["batch", 5],
        "scores": ["batch"],
        "heatmap": ["batch", "height", "width"],
    }
    found = {part.name: part for part in (*session.get_inputs(), *session.get_outputs())}
    if sorted(found) != sorted(wanted) or len(session.get_inputs()) != 1:
        raise ValueError(f"it must have the input and outputs {', '.join(wanted)}, got {', '.join(found)[:200]}")
    for name, shape in wanted.items():
        if found[name].type != _FLOAT or list(found[name].shape) != shape:
            raise ValueError(f"{name} must be {_FLOAT} of shape {shape}, got {found[name].type} of {found[name].shape}")
