"""Detector that refines the boxes of another one with the generative model of the scenes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from centerdet.box import RotatedBox
from centerdet.detector.base import BaseDetector
from centerdet.detector.calibration import Calibration
from centerdet.refine.prior import ScenePrior

if TYPE_CHECKING:
    from centerdet.refine.search import Fit, Refiner

NUM_GUESSES = 3  # boxes that the other detector proposes for each image
MIN_GUESS_SCORE = 0.005  # further guesses below it are left out


@dataclass(frozen=True, slots=True, kw_only=True)
class RefinementConfig:
    """How detections are refined.

    Attributes:
        scene: Generative model of the scenes.
        threshold: Refined detections that score below it are not reported, in [0, 1].
        calibration: Turns their confidence into a score.
    """

    scene: ScenePrior = field(default_factory=ScenePrior)
    threshold: float = 0.5
    calibration: Calibration = field(default_factory=Calibration)


class RefinedDetector(BaseDetector):
    """Refines the most likely boxes of another detector; ``Detector.with_refinement`` makes one.

    Args:
        detector: Finds the boxes.
        refinement: How they are refined.
        refiner: Refines them; ``None``: a new one for the refinement's scenes.

    Raises:
        ImportError: If numba is missing.
    """

    def __init__(self, detector: BaseDetector, refinement: RefinementConfig, *, refiner: Refiner | None = None) -> None:
        from centerdet.refine.search import Refiner  # here, since it needs numba

        super().__init__(
            threshold=refinement.threshold,
            intensity_range=detector.intensity_range,
            has_heading=detector.has_heading,
            metadata=detector.metadata,
        )
        self.calibration: Calibration = refinement.calibration
        self._detector, self._refiner = detector, refiner or Refiner(refinement.scene)

    def heatmap(self, image: ArrayLike) -> NDArray[np.float32]:
        """The heatmap of the detector that finds the boxes."""
        return self._detector.heatmap(image)

    def _decode(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        boxes, scores = self._detector.candidates(images, NUM_GUESSES)
        guesses = [
            [
                RotatedBox(*box)
                for box, score in zip(few, chances, strict=True)
                if score >= min(MIN_GUESS_SCORE, chances[0])
            ]
            for few, chances in zip(boxes.tolist(), scores.tolist(), strict=True)
        ]
        fits = self._refiner.refine_batch(list(images), guesses, threads=torch.get_num_threads())
        boxes = boxes[:, 0].copy()
        for index, fit in enumerate(fits):
            if fit is not None and fit.gain > 0:
                boxes[index] = fit.box.to_array()
        confidences = [confidence(fit, score) for fit, score in zip(fits, scores[:, 0].tolist(), strict=True)]
        return boxes, self.calibration(torch.tensor(confidences)).numpy()


def confidence(fit: Fit | None, score: float) -> float:
    """A number in [0, 1] that grows with the probability that a fit is correct, given the detector's own score.

    The weights come from a logistic regression on 10,000 scenes; a calibration turns the number into a probability.
    """
    if fit is None:
        return 0.0
    score = min(max(score, 1e-4), 1 - 1e-4)
    odds = 0.054 * min(fit.gain, 60.0) - 0.18 * fit.unexplained + 0.64 * math.log(score / (1 - score)) + 0.26
    return 1 / (1 + math.exp(-odds))
