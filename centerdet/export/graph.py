"""ONNX graph of a detector, decoding included."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from centerdet.detector.detector import Detector
from centerdet.model.centernet import fuse

OPSET = 18  # ONNX operator set that torch's exporter implements


class DetectorGraph(nn.Module):
    """Network, decoding and calibration of a detector as one module; scaling and threshold stay outside.

    Args:
        detector: The detector; its batch norms are folded in.
        image_size: (H, W) of the images, px.
    """

    def __init__(self, detector: Detector, image_size: tuple[int, int]) -> None:
        super().__init__()
        self.network = fuse(detector.network)
        self.detector, self.image_size = detector, image_size
        self.second_stage = detector._fused_stage  # as a submodule, its weights are stored once, not once a pass
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images ``(B, 1, H, W)`` -> boxes ``(B, 5)``, scores ``(B,)``, heatmap ``(B, H, W)``."""
        prediction = self.network(images)
        boxes, scores = self.detector.decode_maps(prediction, images)
        return boxes, scores, self.detector.codec.heatmap(prediction, self.image_size)


def trace(graph: DetectorGraph, metadata: dict[str, str]) -> bytes:
    """Exports a graph to ONNX, with a dynamic batch size and the weights inside.

    Args:
        graph: The graph, on the CPU.
        metadata: Texts by name, stored in the model.

    Returns:
        Content of an ``.onnx`` file with input ``images`` and outputs ``boxes``, ``scores`` and ``heatmap``.
    """
    example = torch.zeros(2, 1, *graph.image_size)  # the exporter would take a batch size of 1 for a constant
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
    assert program is not None  # it is, with dynamo
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # stack traces: large, and they reveal local folders
    program.model.metadata_props.update(metadata)
    return program.model_proto.SerializeToString()


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences the exporter's messages about its own internals and about packages that this network does not need."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated", category=FutureWarning)
            yield
    finally:
        logger.setLevel(level)
