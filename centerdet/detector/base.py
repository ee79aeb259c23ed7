"""Base class of the torch and ONNX detectors."""

from __future__ import annotations

import numbers
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from centerdet.box import Detection, RotatedBox
from centerdet.detector.batching import group_by_shape, read_shape
from centerdet.noise_level import NoiseLevel, check_noise_level, estimate_noise_level, rescale_background
from centerdet.preprocessing import check_intensity_range, to_unit_range

NOT_FINITE = "the network's output is not finite; its weights are damaged or do not suit such images: use other weights"
NO_NOISE_LEVEL = "these weights have no noise level: their network sees plain pixels; use them as they are"

# Images (B, H, W) in [0, 1] -> boxes (B, 5) and scores (B,) of each stage.
DecodeStages = Callable[[NDArray[np.float32]], Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]]


class BaseDetector(ABC):
    """Finds at most one rotated object in a single-channel image.

    Args:
        threshold: Detections that score below it are not reported, in [0, 1].
        intensity_range: Pixel values that become 0 and 1; ``None``: the full scale of the image's type.
        has_heading: Whether yaws tell nose from tail.
        trained_noise_level: Noise level that the network computes with; ``None``: it sees plain pixels.
        noise_level: Noise level of the images; "auto": measured in each image; ``None``: the network's.
        metadata: Any JSON object that describes the weights.

    Raises:
        ValueError: If the threshold is outside [0, 1], the intensity range does not increase, or there is a noise level
            for a network that has none.
    """

    def __init__(
        self,
        *,
        threshold: float,
        intensity_range: tuple[float, float] | None,
        has_heading: bool,
        trained_noise_level: float | None = None,
        noise_level: NoiseLevel | None = None,
        metadata: dict[str, Any] | None,
    ) -> None:
        self._threshold: float
        self.threshold = threshold
        self.intensity_range, self.has_heading = check_intensity_range(intensity_range), has_heading
        self.metadata = metadata or {}
        if noise_level is not None and trained_noise_level is None:
            raise ValueError(NO_NOISE_LEVEL)
        if trained_noise_level is not None:
            check_noise_level(trained_noise_level)
        level = trained_noise_level if noise_level is None else noise_level
        self.trained_noise_level = trained_noise_level
        self.noise_level: NoiseLevel | None = None if level is None else check_noise_level(level)
        self._warned = False  # that a noise level could not be measured

    @property
    def threshold(self) -> float:
        """Detections that score below it are not reported; in [0, 1]."""
        return self._threshold

    @threshold.setter
    def threshold(self, value: float) -> None:
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value <= 1:
            raise ValueError(f"threshold must lie in [0, 1], got {value!r}")
        self._threshold = float(value)

    @property
    def thread_safe(self) -> bool:
        """Whether several threads may detect at once, each with its share of torch's threads."""
        return False

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
        """Finds the object in each of many images, of one size or several; the results keep their order.

        A batch has at most ``batch_size`` images and ``MAX_BATCH_PIXELS`` pixels.

        Raises:
            ValueError: If an image is invalid (the message names its index), batch_size < 1, or the network's output is
                not finite.
        """
        (detections,) = self._detect_in_batches(
            images, batch_size, lambda batch: [self._decode(batch)], [self.threshold]
        )
        return detections

    def _detect_in_batches(
        self, images: Sequence[ArrayLike], batch_size: int, decode: DecodeStages, thresholds: Sequence[float]
    ) -> list[list[Detection | None]]:
        """Detects in batches; returns one list of detections for each stage that ``decode`` gives."""
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        detections: list[list[Detection | None]] = [[None] * len(images) for _ in thresholds]
        shapes = [read_shape(index, image) for index, image in enumerate(images)]
        for index, (shape, image) in enumerate(zip(shapes, images, strict=True)):
            if len(shape) != 2:
                self._prepare_numbered(index, image)  # raises the error before any work is done
        for indices in group_by_shape(shapes, batch_size):
            batch = np.empty((len(indices), *shapes[indices[0]]), np.float32)
            for place, index in enumerate(indices):
                batch[place] = self._prepare_numbered(index, images[index])
            for stage, threshold, (boxes, scores) in zip(detections, thresholds, decode(batch), strict=True):
                self._check_finite(indices, boxes, scores, threshold)
                for index, box, score in zip(indices, boxes.tolist(), scores.tolist(), strict=True):
                    if score >= threshold:
                        stage[index] = Detection(box=RotatedBox(*box), score=score, has_heading=self.has_heading)
        return detections

    def check(self, image: ArrayLike) -> None:
        """Checks an image without running the network.

        Raises:
            ValueError: If ``detect`` would raise it.
        """
        self._prepare(image)

    @abstractmethod
    def heatmap(self, image: ArrayLike) -> NDArray[np.float32]:
        """The centre heatmap: probabilities ``(H, W)``, aligned with the image."""

    def candidates(self, images: NDArray[np.float32], count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The most likely boxes of each image, best first.

        Args:
            images: ``(B, H, W)`` in [0, 1].
            count: Wanted number of boxes.

        Returns:
            Boxes ``(B, K, 5)`` and scores ``(B, K)``; K is at most ``count``, and 1 in this base class.
        """
        boxes, scores = self._decode(images)
        return boxes[:, None], scores[:, None]

    def decode_with_candidates(self, images: NDArray[np.float32], count: int) -> tuple[NDArray[np.float32], ...]:
        """Decodes images ``(B, H, W)``: boxes ``(B, 5)``, scores ``(B,)``, then what ``candidates`` returns.

        A subclass that overrides one of the two methods overrides both.
        """
        boxes, scores = self._decode(images)
        return boxes, scores, boxes[:, None], scores[:, None]

    def measure_noise_levels(self, images: NDArray[np.float32]) -> list[float | None]:
        """The noise levels of images ``(B, H, W)`` in [0, 1], where ``noise_level`` is "auto".

        Returns:
            B levels; ``None`` for images without a uniform background, and for all if ``noise_level`` is not "auto".
        """
        if self.noise_level != "auto":
            return [None] * len(images)
        levels = [estimate_noise_level(image) for image in images]
        if None in levels and not self._warned:
            self._warned = True
            warnings.warn(
                "the background of an image is not uniform noise, and these weights are made for such backgrounds: "
                "in other images, such as photographs, their detections are worth nothing; train weights for them "
                f"(centerdet train). The weights' own noise level is used; noise_level={self.trained_noise_level:g} "
                f"(--noise-level {self.trained_noise_level:g}) uses it for all images, without this warning",
                stacklevel=2,
            )
        return levels

    def _to_trained_level(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Images ``(B, H, W)`` in [0, 1] as the network wants them: at the noise level that it was trained for."""
        trained = self.trained_noise_level
        if trained is None or self.noise_level == trained:
            return images
        fixed = trained if self.noise_level == "auto" else self.noise_level
        levels = [fixed if level is None else level for level in self.measure_noise_levels(images)]
        return rescale_background(images, np.array(levels, np.float32), trained=trained)

    @abstractmethod
    def _decode(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Images ``(B, H, W)`` in [0, 1] -> most likely boxes ``(B, 5)`` and scores ``(B,)``, however low."""

    @staticmethod
    def _check_finite(
        indices: Sequence[int], boxes: NDArray[np.float32], scores: NDArray[np.float32], threshold: float
    ) -> None:
        """Refuses results that are not finite, which would pass for "no object"."""
        broken = ~np.isfinite(scores) | (scores >= threshold) & ~np.isfinite(boxes).all(axis=1)
        if broken.any():
            raise ValueError(f"image {indices[int(broken.argmax())]}: {NOT_FINITE}")

    def _prepare(self, image: ArrayLike) -> NDArray[np.float32]:
        return to_unit_range(image, self.intensity_range)

    def _prepare_numbered(self, index: int, image: ArrayLike) -> NDArray[np.float32]:
        try:
            return self._prepare(image)
        except ValueError as error:
            raise ValueError(f"image {index}: {error}") from None
