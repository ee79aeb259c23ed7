"""The detector: network + codec + threshold, kept together in one weights file."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from centerdet.box import Detection
from centerdet.detector.base import BaseDetector
from centerdet.detector.calibration import Calibration
from centerdet.detector.refined import RefinedDetector, RefinementConfig
from centerdet.detector.weights_file import read_weights, write_weights
from centerdet.model.centernet import CenterNet, NetworkConfig, fuse
from centerdet.model.codec import Codec, CodecConfig
from centerdet.model.types import Prediction
from centerdet.parallel import parallel_map
from centerdet.refine.prior import ScenePrior

CPU_VALUES = 16_000_000  # pixels times channels in one go of the network: with more, its maps leave a CPU's cache


class Detector(BaseDetector):
    """Finds at most one rotated object in a single-channel image.

    Args:
        network: The network; the detector works with a copy of it as it is now.
        codec: Made for the network's stride.
        threshold: Detections that score below it are not reported, in [0, 1].
        calibration: Turns the heatmap's peak into a score; ``None``: the score is the peak itself.
        intensity_range: Pixel values that become 0 and 1, as ``images.to_unit_range`` takes them; ``None``: the type's scale.
        refinement: How detections can be refined; ``None``: nothing is known of the scenes.
        metadata: What is known of the weights, any JSON object; stored with them.

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
        intensity_range: tuple[float, float] | None = None,
        refinement: RefinementConfig | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        if codec.stride != network.config.stride:
            raise ValueError(f"codec stride must be the network's, {network.config.stride}, got {codec.stride}")
        if codec.has_heading != network.config.has_heading:
            raise ValueError(
                f"codec heading must be the network's, {network.config.has_heading}, got {codec.has_heading}"
            )
        super().__init__(
            threshold=threshold, intensity_range=intensity_range, has_heading=codec.has_heading, metadata=metadata
        )
        self.network = copy.deepcopy(network).eval().requires_grad_(False)  # as trained: what is saved
        self._fused = fuse(network).to(memory_format=torch.channels_last)  # what is run
        self.codec = codec
        self.calibration = calibration or Calibration()
        self.refinement = refinement

    def read(self, prediction: Prediction) -> tuple[Tensor, Tensor]:
        """From maps to the most likely box of each image ``(B, 5)`` and its score ``(B,)``, however low."""
        boxes, peaks = self.codec.decode(prediction)
        return boxes, self.calibration(peaks)

    def detect(self, image: ArrayLike, *, refine: bool = False) -> Detection | None:
        """As ``BaseDetector.detect``.

        Args:
            image: ``(H, W)``, each side at least 64 px; uint8, uint16, or floats in [0, 1].
            refine: Whether to take a second look by the laws of the scenes, see ``refined``.

        Raises:
            ValueError: If the image is not such an array, or the laws of the scenes are not known.
        """
        return self.detect_batch([image], refine=refine)[0]

    def detect_batch(
        self, images: Sequence[ArrayLike], *, batch_size: int = 32, refine: bool = False
    ) -> list[Detection | None]:
        """As ``detect``, for many images, of one or of several sizes; in the same order.

        Raises:
            ValueError: As ``detect`` (the message names the image's index), or if batch_size < 1.
        """
        if refine:
            return self.with_refinement().detect_batch(images, batch_size=batch_size)
        return super().detect_batch(images, batch_size=batch_size)

    def with_noise_level(self, level: float) -> Detector:
        """The same weights for images whose background stays below another level: they are told, not trained anew.

        Threshold and calibration stay, though they were chosen for the usual level; ``calibrate`` can change that.

        Raises:
            ValueError: If the weights know no noise level, or this one is not in (0, 1].
        """
        if self.network.config.noise_level is None:
            raise ValueError("these weights know no noise level, and need none: they see the pixels as they are")
        network = copy.copy(self.network)
        network.config = replace(network.config, noise_level=level)
        refinement = self.refinement if level < 1 else None  # where any pixel may be background, nothing refines
        if refinement is not None:
            refinement = replace(refinement, scene=replace(refinement.scene, noise_level=level))
        return Detector(
            network,
            self.codec,
            threshold=self.threshold,
            calibration=self.calibration,
            intensity_range=self.intensity_range,
            refinement=refinement,
            metadata={"told_noise_level": level, "before": self.metadata},
        ).to(self._device)

    def with_refinement(self) -> RefinedDetector:
        """The same detector with a second look by the laws of the scenes, those that ``refinement`` names.

        Raises:
            ValueError: If there are none.
            ImportError: If numba is missing.
        """
        if self.refinement is None:
            raise ValueError(
                "these weights do not say what is known of their scenes, which refining needs; "
                "set detector.refinement = RefinementConfig(scene=ScenePrior(...))"
            )
        return RefinedDetector(self, self.refinement)

    @torch.inference_mode()
    def heatmap(self, image: ArrayLike) -> NDArray[np.float32]:
        """The centre heatmap: probabilities ``(H, W)``, aligned with the image.

        It is interpolated between cells, for looking at, and not calibrated: a detection's score tells more.
        """
        array = self._prepare(image)
        return self.codec.heatmap(self._predict(array[None]), array.shape)[0].cpu().numpy()

    def _decode(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        boxes, scores = self.candidates(images, 1)
        return boxes[:, 0], scores[:, 0]

    def candidates(self, images: NDArray[np.float32], count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """As ``BaseDetector.candidates``: the heatmap's highest peaks, some cells apart."""
        most = (
            CPU_VALUES // (images[0].size * self.network.config.channels[0])
            if self._device.type == "cpu"
            else len(images)
        )
        chunks = np.array_split(images, math.ceil(len(images) / max(1, most)))
        parts = parallel_map(lambda chunk: self._peaks(chunk, count), chunks)
        boxes, scores = (torch.cat(part).cpu().numpy() for part in zip(*parts, strict=True))
        return boxes, scores

    @torch.inference_mode()
    def _peaks(self, images: NDArray[np.float32], count: int) -> tuple[Tensor, Tensor]:
        prediction = self._predict(images)
        peaks = [self.read(prediction)]
        while len(peaks) < count:
            prediction = self.codec.without_peak(prediction)
            peaks.append(self.read(prediction))
        boxes, scores = (torch.stack(part, dim=1) for part in zip(*peaks, strict=True))
        return boxes, scores  # (B, K, 5), (B, K)

    def _predict(self, images: NDArray[np.float32]) -> Prediction:
        return self._fused(torch.from_numpy(images)[:, None].to(self._device))

    @property
    def _device(self) -> torch.device:
        return next(self._fused.parameters()).device

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
        header = {
            "network": asdict(self.network.config),
            "codec": asdict(self.codec.config),
            "threshold": self.threshold,
            "calibration": asdict(self.calibration),
            "intensity_range": self.intensity_range,
            "refinement": self.refinement and asdict(self.refinement),
            "metadata": self.metadata,
        }
        write_weights(path, self.network.state_dict(), header)

    @classmethod
    def load(cls, path: str | Path, *, device: torch.device | str = "cpu") -> Detector:
        """Reads a weights file.

        Raises:
            ValueError: If it is missing, damaged, or not a weights file of this version, or there is no such device.
        """
        try:
            tensors, header = read_weights(path)
            network = cls._build_network(tensors, header)
            codec = make_codec(network, CodecConfig(**_tuples(header["codec"])))
            if not isinstance(codec.config.decode_window, int) or not isinstance(header["metadata"], dict):
                raise ValueError("the codec's window must be a whole number, the report an object")
            calibration = Calibration(**header["calibration"])
            detector = cls(
                network,
                codec,
                threshold=header["threshold"],
                calibration=calibration,
                intensity_range=tuple(header["intensity_range"]) if header.get("intensity_range") else None,
                refinement=_refinement(header.get("refinement")),
                metadata=header["metadata"],
            )
        except (AttributeError, KeyError, TypeError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ValueError(f"cannot load weights {path}: {reason}") from None
        return detector.to(device)

    @staticmethod
    def _build_network(tensors: dict[str, torch.Tensor], header: dict[str, Any]) -> CenterNet:
        network = CenterNet(NetworkConfig(**_tuples(header["network"])))
        for name, parameter in network.state_dict().items():
            if name in tensors and tensors[name].dtype != parameter.dtype:
                raise ValueError(f"{name} is {tensors[name].dtype}, wanted {parameter.dtype}")
            if name in tensors and not torch.isfinite(tensors[name]).all():
                raise ValueError(f"{name} holds NaN or infinity")
        network.load_state_dict(tensors)
        return network


def make_codec(network: CenterNet, config: CodecConfig | None = None) -> Codec:
    """The codec of a network's stride and heading."""
    return Codec(stride=network.config.stride, has_heading=network.config.has_heading, config=config)


def _refinement(header: dict[str, Any] | None) -> RefinementConfig | None:
    if header is None:
        return None
    scene, calibration = ScenePrior(**_tuples(header["scene"])), Calibration(**header["calibration"])
    return RefinementConfig(scene=scene, threshold=header["threshold"], calibration=calibration)


def _tuples(values: Any) -> Any:
    """JSON has lists where configs have tuples."""
    if isinstance(values, dict):
        return {name: _tuples(value) for name, value in values.items()}
    return tuple(map(_tuples, values)) if isinstance(values, list) else values
