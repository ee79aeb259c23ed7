"""Export of detectors to ONNX, and a detector that runs an exported model without torch."""

from centerdet.export.onnx import export_onnx
from centerdet.export.runtime import OnnxDetector

__all__ = ["OnnxDetector", "export_onnx"]
