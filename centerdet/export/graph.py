"""From a detector to the bytes of an ONNX model: decoding is part of the graph."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from centerdet.detector.detector import Detector
from centerdet.model.centernet import fuse

OPSET = 18


class DetectorGraph(nn.Module):
    """All that happens between an image in [0, 1] and a threshold.

    Args:
        detector: Its network is fused; what it then reads in the maps is part of the graph.
        image_size: (H, W) of the images in pixels.
    """

    def __init__(self, detector: Detector, image_size: tuple[int, int]) -> None:
        super().__init__()
        self.network = fuse(detector.network)
        self.detector, self.image_size = detector, image_size
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images ``(B, 1, H, W)`` -> boxes ``(B, 5)``, scores ``(B,)``, heatmap ``(B, H, W)``."""
        prediction = self.network(images)
        boxes, scores = self.detector.decode_maps(prediction)
        return boxes, scores, self.detector.codec.heatmap(prediction, self.image_size)


def trace(graph: DetectorGraph, metadata: dict[str, str]) -> bytes:
    """Writes a graph down as an ONNX model with a dynamic batch, weights inside.

    Args:
        graph: What to trace, on the CPU.
        metadata: Texts by name, stored in the model.

    Returns:
        The content of an ``.onnx`` file: input ``images``, outputs ``boxes``, ``scores`` and ``heatmap``.
    """
    example = torch.zeros(2, 1, *graph.image_size)  # a batch of 1 would be taken for a constant
    with _quiet():
        program = torch.onnx.export(
            graph,
            (example,),
            input_names=["images"],
            output_names=["boxes", "scores", "heatmap"],
            dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # stack traces: most of a small file, and the folders of whoever exported it
    program.model.metadata_props.update(metadata)
    return program.model_proto.SerializeToString()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps to itself what the exporter says of its own insides, and of packages that this network does not need."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated", category=FutureWarning)
            yield
    finally:
        logger.setLevel(level)
