"""The calls of every detector, whatever runs its network: torch (``detector``) or an exported model (``export``)."""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from centerdet.box import Detection, RotatedBox
from centerdet.preprocessing import to_unit_range


class BaseDetector(ABC):
    """Finds at most one rotated object in a single-channel image.

    Args:
        threshold: Detections that score below it are not reported, in [0, 1].
        intensity_range: Pixel values that become 0 and 1; ``None``: the full scale of the image's type.
        has_heading: Whether yaws tell nose from tail.
        metadata: What is known of the weights, any JSON object.

    Raises:
        ValueError: If the threshold is outside [0, 1], or intensity not two growing numbers.
    """

    def __init__(
        self,
        *,
        threshold: float,
        intensity_range: tuple[float, float] | None,
        has_heading: bool,
        metadata: dict[str, Any] | None,
    ) -> None:
        if intensity_range is not None and not intensity_range[0] < intensity_range[1]:
            raise ValueError(f"intensity must be two growing numbers, got {intensity_range}")
        self.threshold = threshold
        self.intensity_range, self.has_heading = intensity_range, has_heading
        self.metadata = metadata or {}

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
        arrays = [self._prepare_one_of_many(image, index) for index, image in enumerate(images)]
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
                        answers[index] = Detection(box=RotatedBox(*box), score=score, has_heading=self.has_heading)
        return answers

    def check(self, image: ArrayLike) -> None:
        """Raises the ``ValueError`` that ``detect`` would raise, if any, and nothing else."""
        self._prepare(image)

    @abstractmethod
    def heatmap(self, image: ArrayLike) -> NDArray[np.float32]:
        """The centre heatmap: probabilities ``(H, W)``, aligned with the image."""

    def candidates(self, images: NDArray[np.float32], count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Images ``(B, H, W)`` in [0, 1] -> the likeliest boxes ``(B, K, 5)`` and scores ``(B, K)``, K <= count."""
        boxes, scores = self._decode(images)
        return boxes[:, None], scores[:, None]

    @abstractmethod
    def _decode(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Images ``(B, H, W)`` in [0, 1] -> boxes ``(B, 5)`` and scores ``(B,)``, however low."""

    def _prepare(self, image: ArrayLike) -> NDArray[np.float32]:
        return to_unit_range(image, self.intensity_range)

    def _prepare_one_of_many(self, image: ArrayLike, index: int) -> NDArray[np.float32]:
        try:
            return self._prepare(image)
        except ValueError as error:
            raise ValueError(f"image {index}: {error}") from None
