"""ONNX graph of a detector, decoding included."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from centerdet.detector.detector import Detector
from centerdet.export.runtime import MAX_SIDE
from centerdet.model.centernet import fuse
from centerdet.preprocessing import MIN_SIDE

OPSET = 18  # ONNX operator set that torch's exporter implements
EXAMPLE_SHAPE = (2, 1, 90, 131)  # traced: torch would take sides of 1, and equal sides, for constants


class DetectorGraph(nn.Module):
    """Network, decoding and calibration of a detector as one module; scaling and threshold stay outside.

    Args:
        detector: The detector; its batch norms are folded in.
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.network = fuse(detector.network)
        self.detector = detector
        self.second_stage = detector._fused_stage  # as a submodule, its weights are stored once, not once a pass
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images ``(B, 1, H, W)`` -> boxes ``(B, 5)``, scores ``(B,)``, heatmap ``(B, H, W)``."""
        encoded = self.network.encode_images(images)
        prediction = self.network.predict_maps(encoded)
        boxes, scores = self.detector.decode_maps(prediction, encoded)
        return boxes, scores, self.detector.codec.heatmap(prediction, (images.shape[2], images.shape[3]))


def trace(graph: DetectorGraph, metadata: dict[str, str]) -> bytes:
    """Exports a graph to ONNX, with the weights inside, for batches and images of any size from 64 px.

    Args:
        graph: The graph, on the CPU.
        metadata: Texts by name, stored in the model.

    Returns:
        Content of an ``.onnx`` file with input ``images`` and outputs ``boxes``, ``scores`` and ``heatmap``.
    """
    from onnxscript import ir  # here, since `export_onnx` checks that it is installed

    height, width = (torch.export.Dim(name, min=MIN_SIDE, max=MAX_SIDE) for name in ("height", "width"))
    with _quiet():
        program = torch.onnx.export(
            graph,
            (torch.zeros(EXAMPLE_SHAPE),),
            input_names=["images"],
            output_names=["boxes", "scores", "heatmap"],
            dynamic_shapes={"images": {0: torch.export.Dim("batch"), 2: height, 3: width}},
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None  # it is, with dynamo
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # stack traces: large, and they reveal local folders
    heatmap = program.model.graph.outputs[2]
    heatmap.shape = ir.Shape(["batch", "height", "width"])  # the exporter writes how they are computed
    program.model.metadata_props.update(metadata)
    return program.model_proto.SerializeToString()


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences the exporter's messages about its own internals and about packages that this network does not need."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated", category=FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
