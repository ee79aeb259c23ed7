"""The detector: network + codec + threshold, kept together in one weights file."""

from __future__ import annotations

import copy
import numbers
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch.nn.functional import interpolate

from centerdet.box import Detection, RotatedBox
from centerdet.calibration import Calibration
from centerdet.codec import Codec, CodecConfig
from centerdet.images import to_unit_range
from centerdet.maps import Prediction
from centerdet.network import CenterNet, NetworkConfig, fuse
from centerdet.weights_file import read_weights, write_weights

_SHIPPED = "centerdet.safetensors"


class Detector:
    """Finds at most one rotated object in a single-channel image.

    Args:
        network: The network; the detector works with a copy of it as it is now.
        codec: Made for the network's stride.
        threshold: Detections that score below it are not reported, in [0, 1].
        calibration: Turns the heatmap's peak into a score; ``None``: the score is the peak itself.
        intensity: Pixel values that become 0 and 1, as ``images.to_unit_range`` takes them; ``None``: the type's scale.
        report: What is known of the weights, any JSON object; stored with them.

    Raises:
        ValueError: If the threshold is outside [0, 1], or the codec made for another stride.
    """

    def __init__(
        self,
        network: CenterNet,
        codec: Codec,
        *,
        threshold: float = 0.3,
        calibration: Calibration | None = None,
        intensity: tuple[float, float] | None = None,
        report: dict[str, Any] | None = None,
    ) -> None:
        if codec.stride != network.config.stride:
            raise ValueError(f"codec stride must be the network's, {network.config.stride}, got {codec.stride}")
        if codec.heading != network.config.heading:
            raise ValueError(f"codec heading must be the network's, {network.config.heading}, got {codec.heading}")
        if intensity is not None and not intensity[0] < intensity[1]:
            raise ValueError(f"intensity must be two growing numbers, got {intensity}")
        self.network = copy.deepcopy(network).eval().requires_grad_(False)  # as trained: what is saved
        self._fused = fuse(network).to(memory_format=torch.channels_last)  # what is run
        self.codec = codec
        self.threshold = threshold
        self.calibration, self.intensity = calibration or Calibration(), intensity
        self.report = report or {}

    @property
    def threshold(self) -> float:
        """Detections that score below it are not reported."""
        return self._threshold

    @threshold.setter
    def threshold(self, value: float) -> None:
        if not isinstance(value, numbers.Real) or not 0 <= value <= 1:
            raise ValueError(f"threshold must lie in [0, 1], got {value!r}")
        self._threshold = float(value)

    def __call__(self, image: ArrayLike) -> Detection | None:
        """The same as ``detect``."""
        return self.detect(image)

    def detect(self, image: ArrayLike) -> Detection | None:
        """Finds the object in one image, or ``None``.

        Args:
            image: ``(H, W)``, each side at least 64 px; uint8, uint16, or floats in [0, 1].

        Raises:
            ValueError: If the image is not such an array.
        """
        return self.detect_batch([image])[0]

    def detect_batch(self, images: Sequence[ArrayLike], *, batch_size: int = 32) -> list[Detection | None]:
        """Finds the object in each of many images, of one or of several sizes; as ``detect``, in the same order.

        Raises:
            ValueError: If an image is not as ``detect`` wants it (the message names its index), or batch_size < 1.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        arrays = [self._prepare(image, index) for index, image in enumerate(images)]
        answers: list[Detection | None] = [None] * len(arrays)
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for index, array in enumerate(arrays):
            by_shape.setdefault(array.shape, []).append(index)
        for indices in by_shape.values():
            for first in range(0, len(indices), batch_size):
                chunk = indices[first : first + batch_size]
                boxes, scores = self._decode(np.stack([arrays[index] for index in chunk]))
                for index, box, score in zip(chunk, boxes.tolist(), scores.tolist(), strict=True):
                    if score >= self.threshold:
                        answers[index] = Detection(box=RotatedBox(*box), score=score, heading=self.codec.heading)
        return answers

    @torch.inference_mode()
    def heatmap(self, image: ArrayLike) -> NDArray[np.float32]:
        """The centre heatmap: probabilities ``(H, W)``, aligned with the image.

        It is interpolated between cells, for looking at, and not calibrated: a detection's score tells more.
        """
        array = to_unit_range(image, self.intensity)
        heatmap = self._predict(array[None]).center.sigmoid()
        # With half-pixel centres, bilinear interpolation puts cell centres where the codec says they are.
        heatmap = interpolate(heatmap, scale_factor=float(self.codec.stride), mode="bilinear", align_corners=False)
        return heatmap[0, 0, : array.shape[0], : array.shape[1]].cpu().numpy()

    @torch.inference_mode()
    def _decode(self, images: NDArray[np.float32]) -> tuple[torch.Tensor, torch.Tensor]:
        """``(B, H, W)`` -> boxes ``(B, 5)`` and scores ``(B,)`` on the CPU."""
        boxes, peaks = self.codec.decode(self._predict(images))
        return boxes.cpu(), self.calibration(peaks).cpu()

    def _predict(self, images: NDArray[np.float32]) -> Prediction:
        device = next(self._fused.parameters()).device
        tensor = torch.from_numpy(images)[:, None].to(device, memory_format=torch.channels_last)
        return self._fused(tensor)

    def _prepare(self, image: ArrayLike, index: int) -> NDArray[np.float32]:
        try:
            return to_unit_range(image, self.intensity)
        except ValueError as error:
            raise ValueError(f"image {index}: {error}") from None

    def to(self, device: torch.device | str) -> Detector:
        """Moves the detector to a torch device, and returns it.

        Raises:
            ValueError: If there is no such device.
        """
        try:
            self.network.to(device)
            self._fused.to(device)
        except (RuntimeError, AssertionError) as error:
            raise ValueError(f"cannot use device {str(device)!r}: {str(error).splitlines()[0]}") from None
        return self

    def save(self, path: str | Path) -> None:
        """Writes the weights file atomically: either the whole new file is there afterwards, or the old one."""
        facts = {
            "network": asdict(self.network.config),
            "codec": asdict(self.codec.config),
            "threshold": self.threshold,
            "calibration": asdict(self.calibration),
            "intensity": self.intensity,
            "report": self.report,
        }
        write_weights(path, self.network.state_dict(), facts)

    @classmethod
    def load(cls, path: str | Path, *, device: torch.device | str = "cpu") -> Detector:
        """Reads a weights file.

        Raises:
            ValueError: If it is missing, damaged, or not a weights file of this version, or there is no such device.
        """
        try:
            tensors, facts = read_weights(path)
            network = cls._build_network(tensors, facts)
            codec = codec_for(network, CodecConfig(**_tuples(facts["codec"])))
            if not isinstance(codec.config.window, int) or not isinstance(facts["report"], dict):
                raise ValueError("the codec's window must be a whole number, the report an object")
            calibration = Calibration(**facts["calibration"])
            detector = cls(
                network,
                codec,
                threshold=facts["threshold"],
                calibration=calibration,
                intensity=None if facts["intensity"] is None else tuple(facts["intensity"]),
                report=facts["report"],
            )
        except (AttributeError, KeyError, TypeError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ValueError(f"cannot load weights {path}: {reason}") from None
        return detector.to(device)

    @staticmethod
    def _build_network(tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> CenterNet:
        network = CenterNet(NetworkConfig(**_tuples(facts["network"])))
        for name, parameter in network.state_dict().items():
            if name in tensors and tensors[name].dtype != parameter.dtype:
                raise ValueError(f"{name} is {tensors[name].dtype}, wanted {parameter.dtype}")
            if name in tensors and not torch.isfinite(tensors[name]).all():
                raise ValueError(f"{name} holds NaN or infinity")
        network.load_state_dict(tensors)
        return network


def codec_for(network: CenterNet, config: CodecConfig | None = None) -> Codec:
    """The codec of a network's stride and heading."""
    return Codec(stride=network.config.stride, heading=network.config.heading, config=config)


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has lists where configs have tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def load(
    path: str | Path | None = None,
    *,
    threshold: float | None = None,
    device: torch.device | str = "cpu",
) -> Detector:
    """Loads a detector from a weights file; without a path, the one shipped with centerdet.

    Args:
        path: A file written by ``Detector.save`` or ``train.py``.
        threshold: Confidence threshold in [0, 1]; ``None``: the one stored with the weights.
        device: A torch device.

    Raises:
        ValueError: If the file is missing, damaged or of another kind, or the threshold out of range.
    """
    detector = Detector.load(_shipped_weights() if path is None else path, device=device)
    if threshold is not None:
        detector.threshold = threshold
    return detector


def _shipped_weights() -> Path:
    """The package carries them when installed; in a checkout they lie beside it."""
    package = Path(__file__).parent
    installed = package / "weights" / _SHIPPED
    return installed if installed.exists() else package.parent / "weights" / _SHIPPED
