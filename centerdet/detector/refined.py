"""A detector whose boxes are refined by the laws of the scenes, and whose score says whether they explain the image."""

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

_LEAST = 0.005  # score of a further guess that is worth a look


@dataclass(frozen=True, slots=True, kw_only=True)
class RefinementConfig:
    """How detections are refined.

    Attributes:
        scene: What is known of the scenes.
        threshold: Refined detections that score below it are not reported, in [0, 1].
        calibration: Turns their confidence into a score.
    """

    scene: ScenePrior = field(default_factory=ScenePrior)
    threshold: float = 0.5
    calibration: Calibration = field(default_factory=Calibration)


class RefinedDetector(BaseDetector):
    """Another detector's likeliest boxes, refined; the same calls. ``Detector.refined`` makes one.

    Args:
        finder: Finds the boxes.
        refinement: How they are refined.
        refiner: Refines them; ``None``: one for that refinement's scenes.
    """

    def __init__(self, finder: BaseDetector, refinement: RefinementConfig, *, refiner: Refiner | None = None) -> None:
        from centerdet.refine.search import Refiner  # here, since it needs numba

        super().__init__(
            threshold=refinement.threshold,
            intensity_range=finder.intensity_range,
            has_heading=finder.has_heading,
            metadata=finder.metadata,
        )
        self.calibration: Calibration = refinement.calibration
        self._finder, self._refiner = finder, refiner or Refiner(refinement.scene)

    def heatmap(self, image: ArrayLike) -> NDArray[np.float32]:
        """As that of the detector that finds the boxes."""
        return self._finder.heatmap(image)

    def _decode(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        boxes, scores = self._finder.candidates(images, 3)
        guesses = [
            [RotatedBox(*box) for box, score in zip(few, chances, strict=True) if score >= min(_LEAST, chances[0])]
            for few, chances in zip(boxes.tolist(), scores.tolist(), strict=True)
        ]
        fits = self._refiner.refine_batch(list(images), guesses, threads=torch.get_num_threads())
        boxes = boxes[:, 0].copy()
        for index, fit in enumerate(fits):
            if fit is not None and fit.gain > 0:
                boxes[index] = fit.box.to_array()
        found = [confidence(fit, score) for fit, score in zip(fits, scores[:, 0].tolist(), strict=True)]
        return boxes, self.calibration(torch.tensor(found)).numpy()


def confidence(fit: Fit | None, score: float) -> float:
    """A number in [0, 1] that grows with the chance that a fit is right, given the detector's score before it.

    The weights are those of a logistic regression on 10,000 scenes; a calibration turns the number into a chance.
    """
    if fit is None:
        return 0.0
    score = min(max(score, 1e-4), 1 - 1e-4)
    odds = 0.054 * min(fit.gain, 60.0) - 0.18 * fit.unexplained + 0.64 * math.log(score / (1 - score)) + 0.26
    return 1 / (1 + math.exp(-odds))
