"""Detector whose boxes are refined by the generative model of the scenes, with a score of its own."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from centerdet.box import Detection, RotatedBox
from centerdet.detector.base import BaseDetector
from centerdet.detector.calibration import Calibration
from centerdet.refine.guess import Guess
from centerdet.refine.prior import ScenePrior

if TYPE_CHECKING:
    from centerdet.refine.search import Fit, Refiner

Decoded = tuple[NDArray[np.float32], NDArray[np.float32]]  # boxes (B, 5) and scores (B,)

NUM_GUESSES = 3  # peaks a network gives a refiner beside its box; more of them change one answer in a thousand
MIN_GUESS_SCORE = 0.005  # score below which a further guess is never right
MAX_GAIN = 40.0  # nats: above it, more of it does not make an outline more likely to be right
# Log-odds that a box is right (IoU > 0.7): a logistic regression on the fits of 4,000 scenes (seed 31337) with the
# accurate network and as many with the fast one. Unexplained pixels add nothing to these (-0.03 a pixel).
GAIN_WEIGHT = 0.161  # per nat
SCORE_WEIGHT = 0.53  # per unit of the detector's own log-odds
BIAS = -3.05


@dataclass(frozen=True, slots=True, kw_only=True)
class RefinementConfig:
    """How a detector's boxes are refined.

    Attributes:
        scene: Generative model of the scenes.
        threshold: Refined detections that score below it are not reported, in [0, 1].
        calibration: Turns their confidence into a score.

    Raises:
        ValueError: If the threshold is out of range.
    """

    scene: ScenePrior = field(default_factory=ScenePrior)
    threshold: float = 0.5
    calibration: Calibration = field(default_factory=Calibration)

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold must lie in [0, 1], got {self.threshold}")


class StageDetections(NamedTuple):
    """Detections of images before and after refinement.

    Attributes:
        unrefined: Those of the detector that finds the boxes, at its threshold.
        refined: Those after refinement, at the refined detector's threshold.
        refinement_seconds: Time that refinement took.
    """

    unrefined: list[Detection | None]
    refined: list[Detection | None]
    refinement_seconds: float


class RefinedDetector(BaseDetector):
    """Detector that refines the most likely boxes of another detector; it has the same methods.

    Args:
        detector: Finds the boxes.
        config: How they are refined.
        refiner: Refines them; ``None``: a new one for the config's scenes.

    Raises:
        ImportError: If numba is missing.
    """

    def __init__(self, detector: BaseDetector, config: RefinementConfig, *, refiner: Refiner | None = None) -> None:
        super().__init__(
            threshold=config.threshold,
            intensity_range=detector.intensity_range,
            has_heading=detector.has_heading,
            trained_noise_level=detector.trained_noise_level,
            noise_level=detector.noise_level,
            metadata=detector.metadata,
        )
        self.calibration: Calibration = config.calibration
        if refiner is None:
            from centerdet.refine.search import Refiner  # here, since it needs numba

            refiner = Refiner(config.scene)
        self._detector, self._refiner = detector, refiner

    @property
    def unrefined(self) -> BaseDetector:
        """The detector that finds the boxes."""
        return self._detector

    @property
    def thread_safe(self) -> bool:
        """As the unrefined detector's."""
        return self._detector.thread_safe

    def heatmap(self, image: ArrayLike) -> NDArray[np.float32]:
        """The centre heatmap of the detector that finds the boxes."""
        return self._detector.heatmap(image)

    def detect_stages(self, images: Sequence[ArrayLike], *, batch_size: int = 32) -> StageDetections:
        """Finds objects as ``detect_batch`` does; also returns the detections before refinement, from the same pass."""
        thresholds, seconds = [self._detector.threshold, self.threshold], [0.0]

        def decode(batch: NDArray[np.float32]) -> list[Decoded]:
            boxes, scores, *peaks = self._detector.decode_with_candidates(batch, NUM_GUESSES)
            start = time.perf_counter()
            refined = self._refine(batch, boxes, scores, *peaks)
            seconds[0] += time.perf_counter() - start
            return [(boxes, scores), refined]

        unrefined, refined = self._detect_in_batches(images, batch_size, decode, thresholds)
        return StageDetections(unrefined, refined, seconds[0])

    def _decode(self, images: NDArray[np.float32]) -> Decoded:
        return self._refine(images, *self._detector.decode_with_candidates(images, NUM_GUESSES))

    def _refine(
        self,
        images: NDArray[np.float32],
        boxes: NDArray[np.float32],
        scores: NDArray[np.float32],
        peaks: NDArray[np.float32],
        peak_scores: NDArray[np.float32],
    ) -> Decoded:
        """Refines boxes ``(B, 5)`` with scores ``(B,)``; the peaks ``(B, K, 5)`` are further guesses."""
        guesses = np.concatenate([boxes[:, None], peaks], axis=1)  # (B, 1 + K, 5)
        chances = np.concatenate([scores[:, None], peak_scores], axis=1)  # (B, 1 + K)
        usable = np.isfinite(guesses).all(axis=(1, 2)) & np.isfinite(chances).all(axis=1)  # (B,)
        if not usable.all():  # the caller refuses such scores
            return boxes, np.where(usable, scores, np.nan)
        likely = [_likely(*pair) for pair in zip(guesses.tolist(), chances.tolist(), strict=True)]
        levels = self._detector.measure_noise_levels(images)
        boxes, scores = boxes.copy(), scores.copy()  # those of images of level 1 stay
        chosen = [index for index, level in enumerate(levels) if level is None or level < 1]
        fits = self._refiner.refine_batch(
            [images[index] for index in chosen],
            [likely[index] for index in chosen],
            threads=torch.get_num_threads(),
            noise_levels=[levels[index] for index in chosen],
        )
        for index, fit in zip(chosen, fits, strict=True):
            if fit is not None and fit.gain > 0:
                boxes[index] = fit.box.to_array()
        confidences = [confidence(fit, score) for fit, score in zip(fits, scores[chosen].tolist(), strict=True)]
        scores[chosen] = self.calibration(torch.tensor(confidences)).numpy()
        return boxes, scores


def _likely(boxes: list[list[float]], chances: list[float]) -> list[Guess]:
    """The first guess, and the others whose chance is at least ``MIN_GUESS_SCORE``."""
    guesses = [Guess(RotatedBox(*box), chance) for box, chance in zip(boxes, chances, strict=True)]
    return guesses[:1] + [guess for guess in guesses[1:] if guess.chance >= MIN_GUESS_SCORE]


def confidence(fit: Fit | None, score: float) -> float:
    """A number in [0, 1] that grows with the chance that a fit is right; a calibration turns it into that chance.

    Args:
        fit: The fit, or ``None`` if lines alone explain the image.
        score: The detector's score before refinement, in [0, 1].
    """
    if fit is None:
        return 0.0
    score = min(max(score, 1e-4), 1 - 1e-4)
    score_odds = math.log(score / (1 - score))
    odds = GAIN_WEIGHT * min(fit.gain, MAX_GAIN) + SCORE_WEIGHT * score_odds
    return 1 / (1 + math.exp(-(odds + BIAS)))
