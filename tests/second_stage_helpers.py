"""Small second stages for tests."""

from __future__ import annotations

import math

import numpy as np
import torch

from centerdet.detector.detector import Detector
from centerdet.detector.second_stage import SecondStageSetup
from centerdet.model.centernet import CenterNet, NetworkConfig
from centerdet.model.codec import Codec
from centerdet.model.hypotheses import HypothesesConfig
from centerdet.model.second_stage import SecondStage, SecondStageConfig

SMALL = SecondStageConfig(rows=24, columns=16, channels=(4, 4, 4), depths=(1, 1, 0), hidden=(8, 4))


def random_boxes(count: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    size = rng.uniform(18, 40, (count, 2))
    boxes = np.column_stack([rng.uniform(60, 140, (count, 2)), rng.uniform(-math.pi, math.pi, count), size])
    return torch.from_numpy(boxes)


def trained_like(config: SecondStageConfig = SMALL, in_channels: int = 3) -> SecondStage:
    """A stage whose batch norms have seen something, and whose heads say something."""
    torch.manual_seed(0)
    stage = SecondStage(in_channels, config)
    for head in (stage.odd, stage.even):
        torch.nn.init.normal_(head.weight, std=0.1)
    for _ in range(3):
        stage(torch.rand(16, in_channels, config.rows, config.columns), 20 + 20 * torch.rand(16, 2))
    return stage.eval()


def tiny_detector(stage: SecondStage | None = None, hypotheses: HypothesesConfig | None = None) -> Detector:
    torch.manual_seed(1)
    network = CenterNet(NetworkConfig(channels=(8,), num_blocks=(1,)))
    setup = None if stage is None else SecondStageSetup(network=stage, hypotheses=hypotheses or HypothesesConfig())
    return Detector(network, Codec(stride=4), threshold=0.0, second_stage=setup)
