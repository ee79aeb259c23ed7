"""A detector whose boxes are refined by the laws of the scenes, and whose score says whether they explain the image."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from centerdet.box import RotatedBox
from centerdet.calibration import Calibration
from centerdet.finder import Finder
from centerdet.refine.refiner import Fit, Refiner
from centerdet.scene_facts import Refinement


class RefinedDetector(Finder):
    """Another detector's likeliest box, refined; the same calls. ``Detector.refined`` makes one.

    Args:
        finder: Finds the boxes.
        refinement: How they are refined.
        refiner: Refines them; ``None``: one for that refinement's scenes.
    """

    def __init__(self, finder: Finder, refinement: Refinement, *, refiner: Refiner | None = None) -> None:
        super().__init__(
            threshold=refinement.threshold, intensity=finder.intensity, heading=finder.heading, report=finder.report
        )
        self.calibration: Calibration = refinement.calibration
        self._finder, self._refiner = finder, refiner or Refiner(refinement.scene)

    def heatmap(self, image: ArrayLike) -> NDArray[np.float32]:
        """As that of the detector that finds the boxes."""
        return self._finder.heatmap(image)

    def _decode(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        boxes, peaks = self._finder._decode(images)
        guesses = [RotatedBox(*box) for box in boxes.tolist()]
        fits = self._refiner.refine_batch(list(images), guesses, threads=torch.get_num_threads())
        for index, fit in enumerate(fits):
            if fit is not None and fit.gain > 0:
                boxes[index] = fit.box.to_array()
        found = torch.tensor([_confidence(fit, peak) for fit, peak in zip(fits, peaks.tolist(), strict=True)])
        return boxes, self.calibration(found).numpy()


def _confidence(fit: Fit | None, peak: float) -> float:
    """A number in [0, 1] that grows with the probability that a fit is right."""
    if fit is None:
        return 0.0
    return 1 / (1 + np.exp(-(fit.gain - 10) / 10))
