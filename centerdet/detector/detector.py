"""The detector: network, codec, calibration and threshold, stored together in one weights file."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from centerdet.box import Detection
from centerdet.detector.base import NO_NOISE_LEVEL, NOT_FINITE, BaseDetector
from centerdet.detector.calibration import Calibration
from centerdet.detector.device import check_device
from centerdet.detector.inference import InferenceNetwork
from centerdet.detector.refined import RefinedDetector, RefinementConfig
from centerdet.detector.second_stage import SecondStageSetup, decode_with_second_stage, find_peaks
from centerdet.detector.weights_file import read_detector, write_detector
from centerdet.model.centernet import CenterNet
from centerdet.model.codec import Codec, CodecConfig
from centerdet.model.second_stage import fuse_second_stage
from centerdet.model.types import Prediction
from centerdet.noise_level import NoiseLevel, check_noise_level
from centerdet.parallel import parallel_map

if TYPE_CHECKING:
    from centerdet.refine.prior import ScenePrior
    from centerdet.refine.search import Refiner


class Detector(BaseDetector):
    """Finds at most one rotated object in a single-channel image.

    Args:
        network: The network; the detector keeps a copy of its present state.
        codec: Codec with the network's stride and ``has_heading``, as ``make_codec`` makes it.
        threshold: Detections that score below it are not reported, in [0, 1].
        calibration: Turns the heatmap's peak into a score; ``None``: the score is the peak.
        intensity_range: Pixel values that become 0 and 1; ``None``: the full scale of the image's type.
        refinement: How detections can be refined; ``None``: they cannot.
        second_stage: Moves and scores the boxes of the maps; threshold and calibration then belong to its boxes.
        auto_noise_level: Whether the noise level is measured in each image; otherwise it is the network's.
        metadata: Any JSON object; stored with the weights.

    Raises:
        ValueError: If the threshold or the intensity range is invalid, the codec does not fit the network, or
            ``auto_noise_level`` is set for a network that sees plain pixels.
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
        second_stage: SecondStageSetup | None = None,
        auto_noise_level: bool = False,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        for name in ("stride", "has_heading"):
            wanted, got = getattr(network.config, name), getattr(codec, name)
            if wanted != got:
                raise ValueError(f"codec {name} must be the network's, {wanted}, got {got}; use make_codec(network)")
        super().__init__(
            threshold=threshold,
            intensity_range=intensity_range,
            has_heading=codec.has_heading,
            trained_noise_level=network.config.noise_level,
            noise_level="auto" if auto_noise_level else None,
            metadata=metadata,
        )
        self.network = copy.deepcopy(network).eval().requires_grad_(False)  # as trained: this one is saved
        self._inference = InferenceNetwork(network)  # this one runs
        self.codec = codec
        self.calibration = calibration or Calibration()
        self.refinement = refinement
        self.second_stage = second_stage
        self._fused_stage = None
        if second_stage is not None:
            self._fused_stage = fuse_second_stage(second_stage.network)
            self._fused_stage.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # missing in torch
        self._refiner: tuple[ScenePrior, Refiner] | None = None  # the last one used, with its scene

    def detect(self, image: ArrayLike, *, refine: bool = False) -> Detection | None:
        """Finds the object in one image, or ``None``.

        Args:
            image: ``(H, W)``, each side at least 64 px; uint8, uint16, or floats in [0, 1].
            refine: Whether to refine the box, see ``with_refinement``.

        Raises:
            ValueError: If the image is not such an array, or the detector has no refinement.
        """
        return self.detect_batch([image], refine=refine)[0]

    def detect_batch(
        self, images: Sequence[ArrayLike], *, batch_size: int = 32, refine: bool = False
    ) -> list[Detection | None]:
        """Finds the object in each of many images, of one size or several; the results keep their order.

        Raises:
            ValueError: As in ``detect`` (the message names the image's index), or if batch_size < 1.
        """
        if refine:
            return self.with_refinement().detect_batch(images, batch_size=batch_size)
        return super().detect_batch(images, batch_size=batch_size)

    @torch.inference_mode()
    def heatmap(self, image: ArrayLike) -> NDArray[np.float32]:
        """The centre heatmap: probabilities ``(H, W)``, aligned with the image.

        It is interpolated between cells and not calibrated, unlike a detection's score.

        Raises:
            ValueError: If the image is invalid, or the network's output is not finite.
        """
        array = self._prepare(image)
        heatmap = self.codec.heatmap(self._inference(self._to_trained_level(array[None]))[1], array.shape)[0]
        if not torch.isfinite(heatmap).all():
            raise ValueError(NOT_FINITE)
        return heatmap.cpu().numpy()

    def decode_maps(self, prediction: Prediction, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """Decodes maps: the most likely box of each image ``(B, 5)`` and its score ``(B,)``, however low.

        Args:
            prediction: The network's maps.
            encoded: ``(B, C, H, W)``, the network's input, from which the second stage cuts its patches.
        """
        if self.second_stage is None or self._fused_stage is None:
            boxes, scores = self.codec.decode(prediction)
        else:
            config = self.second_stage.hypotheses
            boxes, scores = decode_with_second_stage(self._fused_stage, config, self.codec, prediction, encoded)
        return boxes, self.calibration(scores)

    def candidates(self, images: NDArray[np.float32], count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """As ``BaseDetector.candidates``: the highest peaks of the heatmap, at least three cells apart.

        They are the network's own boxes, without the second stage.
        """
        boxes, scores = self._run(images, lambda _, prediction: self._find_peaks(prediction, count))
        return boxes, scores

    def decode_with_candidates(self, images: NDArray[np.float32], count: int) -> tuple[NDArray[np.float32], ...]:
        """As ``BaseDetector.decode_with_candidates``, from one pass of the network."""
        return self._run(images, lambda llr, maps: (*self.decode_maps(maps, llr), *self._find_peaks(maps, count)))

    def _decode(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        boxes, scores = self._run(images, lambda llr, maps: self.decode_maps(maps, llr))
        return boxes, scores

    def _run(
        self, images: NDArray[np.float32], decode: Callable[[Tensor, Prediction], tuple[Tensor, ...]]
    ) -> tuple[NDArray[np.float32], ...]:
        """Predicts the maps of images ``(B, H, W)`` in parts, and decodes each part from its input and maps."""

        @torch.inference_mode()
        def run_part(part: NDArray[np.float32]) -> tuple[Tensor, ...]:
            return decode(*self._inference(self._to_trained_level(part)))

        parts = parallel_map(run_part, self._inference.share(images))
        return tuple(torch.cat(values).cpu().numpy() for values in zip(*parts, strict=True))

    def _find_peaks(self, prediction: Prediction, count: int) -> tuple[Tensor, Tensor]:
        """Boxes ``(B, K, 5)`` and scores ``(B, K)`` of the heatmap's highest peaks."""
        boxes, peaks = find_peaks(self.codec, prediction, count)
        calibration = self.second_stage.peak_calibration if self.second_stage else self.calibration
        return boxes, calibration(peaks)

    def with_refinement(self) -> RefinedDetector:
        """Returns a detector with the same weights that refines each box, as ``refinement`` says.

        Raises:
            ValueError: If ``refinement`` is ``None``.
            ImportError: If numba is missing.
        """
        if self.refinement is None:
            raise ValueError(
                "this detector has no refinement, which needs a description of the scenes; "
                "set detector.refinement = RefinementConfig(scene=ScenePrior(...))"
            )
        return RefinedDetector(self, self.refinement, refiner=self._get_refiner(self.refinement.scene))

    def _get_refiner(self, scene: ScenePrior) -> Refiner:
        """Returns a refiner for the scene; the last one is kept, since it draws 1.25 million random numbers."""
        from centerdet.refine.search import Refiner  # here, since it needs numba

        if self._refiner is None or self._refiner[0] != scene:
            self._refiner = scene, Refiner(scene)
        return self._refiner[1]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_refiner": None}  # keeps copies and pickles small

    def with_noise_level(self, level: NoiseLevel) -> Detector:
        """Returns a detector with the same weights for images with another noise level; nothing is trained.

        With "auto" it measures the level in each image, refinement included. Images whose background is not uniform
        noise keep the weights' own level, with one warning.

        Threshold and calibration stay, though they were chosen for the old level; ``calibrate`` can change that.

        Args:
            level: Upper bound of the background's pixels, in (0, 1], or "auto". At 1 the new detector has no
                refinement.

        Raises:
            ValueError: If the level is out of range, or the network has none.
        """
        if self.network.config.noise_level is None:
            raise ValueError(NO_NOISE_LEVEL)
        changed, level = copy.deepcopy(self), check_noise_level(level)
        changed._warned = False
        if level == "auto":
            changed.noise_level = "auto"
            return changed
        changed.noise_level = changed.trained_noise_level = level
        changed.network.config = replace(self.network.config, noise_level=level)
        changed._inference = InferenceNetwork(changed.network)
        changed.metadata = {"changed_noise_level": level, "original_metadata": self.metadata}
        if level >= 1:  # any pixel may then be background
            changed.refinement = None
        elif self.refinement is not None:
            changed.refinement = replace(self.refinement, scene=replace(self.refinement.scene, noise_level=level))
        return changed

    @property
    def thread_safe(self) -> bool:
        """Whether several threads may detect at once: on a CPU, not on a GPU."""
        return self._inference.device.type == "cpu"

    def to(self, device: torch.device | str) -> Detector:
        """Moves the detector to a torch device, and returns it.

        Raises:
            ValueError: If there is no such device, or torch cannot use it here.
        """
        device = check_device(device)
        self.network.to(device)
        self._inference.to(device)
        if self._fused_stage is not None:
            self._fused_stage.to(device)
        return self

    def save(self, path: str | Path) -> None:
        """Writes the weights file atomically: afterwards it is the complete new file or the old one."""
        write_detector(path, self)

    @classmethod
    def load(cls, path: str | Path, *, device: torch.device | str = "cpu") -> Detector:
        """Reads a weights file.

        Raises:
            ValueError: If it is missing, damaged, or not a weights file of this version, or there is no such device.
        """
        try:
            network, codec, settings = read_detector(path)
            detector = cls(network, make_codec(network, codec), **settings)
        except (MemoryError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ValueError(f"cannot load weights {path}: {reason}") from None
        return detector.to(device)


def make_codec(network: CenterNet, config: CodecConfig | None = None) -> Codec:
    """Makes the codec that fits a network's stride and ``has_heading``."""
    return Codec(stride=network.config.stride, has_heading=network.config.has_heading, config=config)
