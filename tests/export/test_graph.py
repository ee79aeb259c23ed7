import json
import logging
import warnings

import numpy as np
import onnx
import pytest
import torch

from centerdet.export.graph import OPSET, DetectorGraph, _quiet
from tests.helpers import make_detector, make_noise


def test_outputs_are_boxes_scores_and_heatmap():
    detector, images = make_detector(), make_noise(2, (64, 80))
    detector.threshold = 0.0
    with torch.inference_mode():
        boxes, scores, heatmap = DetectorGraph(detector)(torch.tensor(np.array(images))[:, None].float())
    assert (boxes.shape, scores.shape, heatmap.shape) == ((2, 5), (2,), (2, 64, 80))
    for box, score, detection in zip(boxes, scores, detector.detect_batch(images), strict=True):
        assert box.tolist() == pytest.approx(detection.box.to_array(), abs=1e-3)
        assert score.item() == pytest.approx(detection.score, abs=1e-5)


def test_the_model_has_dynamic_sizes_and_its_weights_inside(exported):
    model = onnx.load(exported[1])
    shapes = {
        part.name: [side.dim_param or side.dim_value for side in part.type.tensor_type.shape.dim]
        for part in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {
        "images": ["batch", 1, "height", "width"],
        "boxes": ["batch", 5],
        "scores": ["batch"],
        "heatmap": ["batch", "height", "width"],
    }
    assert [output.name for output in model.graph.output] == ["boxes", "scores", "heatmap"]
    assert sorted(file.name for file in exported[1].parent.iterdir()) == ["model.onnx", "weights.safetensors"]
    assert [part.version for part in model.opset_import if not part.domain] == [OPSET] == [18]


def test_the_metadata_hold_what_another_program_needs(exported):
    model = onnx.load(exported[1])
    metadata = {part.key: part.value for part in model.metadata_props}
    assert metadata.pop("format") == "centerdet onnx 5"
    assert len(metadata.pop("digest")) == 64
    metadata = {name: json.loads(text) for name, text in metadata.items()}
    assert metadata["threshold"] == 0.2
    assert metadata["intensity_range"] is None
    assert metadata["has_heading"] is True
    assert metadata["metadata"] == {"validation": {"ap": 0.5}}
    assert "uint16 / 65535" in metadata["preprocessing"]
    assert "points to ``(sin yaw, cos yaw)``: DOWN at yaw 0" in metadata["convention"]


def test_the_model_does_not_reveal_where_it_was_exported(exported):
    assert b".py" not in exported[1].read_bytes()


@pytest.mark.parametrize("name", ["torch.onnx", "onnx_ir._convenience"])
def test_the_exporter_is_silent_only_during_the_export(name):
    logger = logging.getLogger(name)
    before = logger.level
    with _quiet():
        assert not logger.isEnabledFor(logging.WARNING)
        assert logger.isEnabledFor(logging.ERROR)
        warnings.warn("the LeafSpec class is deprecated", FutureWarning, stacklevel=1)
    assert logger.level == before
