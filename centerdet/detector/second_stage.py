"""The second stage as part of a detector: how it is run, and how it is kept in the weights file."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from centerdet.detector.calibration import Calibration
from centerdet.detector.checked_tensors import build_module
from centerdet.model.codec import Codec
from centerdet.model.hypotheses import HypothesesConfig, best_hypothesis
from centerdet.model.second_stage import SecondStage, SecondStageConfig
from centerdet.model.types import Prediction

MAX_CHANNELS = 16  # of a patch: the network's two and the mask are three
PREFIX = "second_stage."  # of its tensors' names in the weights file


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondStageHeader:
    """Settings of a second stage in the header of a weights file; see ``SecondStageSetup``."""

    in_channels: int
    network: SecondStageConfig
    hypotheses: HypothesesConfig
    peak_calibration: Calibration

    def __post_init__(self) -> None:
        if not 1 <= self.in_channels <= MAX_CHANNELS:
            raise ValueError(f"in_channels must lie in 1..{MAX_CHANNELS}, got {self.in_channels}")
        if self.hypotheses.score_level >= len(self.network.quality_levels):
            raise ValueError(
                f"score_level must be an index of the {len(self.network.quality_levels)} quality_levels, "
                f"got {self.hypotheses.score_level}"
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SecondStageSetup:
    """A trained second stage, and how a detector uses it.

    Attributes:
        network: As trained; a detector runs a fused copy.
        hypotheses: Boxes that it tries.
        peak_calibration: Turns the heatmap's peak into a score, for the boxes that the first stage proposes.
    """

    network: SecondStage
    hypotheses: HypothesesConfig = field(default_factory=HypothesesConfig)
    peak_calibration: Calibration = field(default_factory=Calibration)

    def header(self) -> SecondStageHeader:
        """Returns the settings that ``from_weights`` needs besides the tensors."""
        return SecondStageHeader(
            in_channels=self.network.in_channels,
            network=self.network.config,
            hypotheses=self.hypotheses,
            peak_calibration=self.peak_calibration,
        )

    def to_tensors(self) -> dict[str, Tensor]:
        """Its parameters and buffers by the names that they have in the weights file."""
        return {PREFIX + name: tensor for name, tensor in self.network.state_dict().items()}

    @classmethod
    def from_weights(cls, header: SecondStageHeader, tensors: dict[str, Tensor]) -> SecondStageSetup:
        """Makes a second stage of its settings and of its tensors, which it takes out of ``tensors``.

        Raises:
            ValueError: If names, shapes or types are not those of the settings, or a tensor is not finite.
        """
        names = [name for name in tensors if name.startswith(PREFIX)]
        own = {name.removeprefix(PREFIX): tensors.pop(name) for name in names}
        network = build_module(lambda: SecondStage(header.in_channels, header.network), own, name="second stage")
        return cls(
            network=network.eval().requires_grad_(False),
            hypotheses=header.hypotheses,
            peak_calibration=header.peak_calibration,
        )


def find_peaks(codec: Codec, prediction: Prediction, count: int) -> tuple[Tensor, Tensor]:
    """Boxes ``(B, K, 5)`` of each heatmap's ``count`` highest peaks, some cells apart, and their heights ``(B, K)``."""
    peaks = [codec.decode(prediction)]
    while len(peaks) < count:
        prediction = codec.without_peak(prediction)
        peaks.append(codec.decode(prediction))
    boxes, heights = (torch.stack(part, dim=1) for part in zip(*peaks, strict=True))
    return boxes, heights


def decode_with_second_stage(
    stage: SecondStage, hypotheses: HypothesesConfig, codec: Codec, prediction: Prediction, encoded: Tensor
) -> tuple[Tensor, Tensor]:
    """From the first stage's maps to the second stage's best boxes.

    Args:
        stage: To run: fused, in evaluation mode.
        hypotheses: Boxes that it tries.
        codec: Reads the first stage's maps.
        prediction: Those maps.
        encoded: ``(B, C, H, W)`` images of ``CenterNet.encode_images``.

    Returns:
        Boxes ``(B, 5)`` and chances that they are right ``(B,)``, not calibrated.
    """

    def next_peaks(rows: Tensor) -> Tensor:
        maps = Prediction(*(part[rows] for part in prediction))
        return find_peaks(codec, maps, hypotheses.peaks)[0][:, 1:]

    boxes, heights = codec.decode(prediction)
    return best_hypothesis(stage, encoded, boxes, heights, next_peaks, hypotheses)
