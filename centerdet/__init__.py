"""centerdet detects one rotated object, with its heading, in a single-channel image.

Public names are imported at their first use (PEP 562): ``import centerdet`` takes milliseconds, and an exported model
runs without torch.
"""

from typing import TYPE_CHECKING

__version__ = "0.2.0"

__all__ = [
    "AugmentationConfig",
    "Batch",
    "BatchSource",
    "Calibration",
    "CenterLoss",
    "CenterNet",
    "Codec",
    "CodecConfig",
    "Detection",
    "Detector",
    "EvaluationReport",
    "ImagesConfig",
    "LossConfig",
    "NetworkConfig",
    "Prediction",
    "RefinementConfig",
    "RotatedBox",
    "ScenePrior",
    "ScenesConfig",
    "SyntheticScenes",
    "Target",
    "TrainingConfig",
    "benchmark_scenes",
    "calibrate",
    "draw",
    "evaluate",
    "fit",
    "load",
    "make_data",
    "predict",
    "score_iou",
    "to_supervision",
    "to_table",
    "train",
]

if TYPE_CHECKING:
    from centerdet.box import Detection, RotatedBox
    from centerdet.data.augment import AugmentationConfig
    from centerdet.data.results import draw, predict, to_supervision, to_table
    from centerdet.detector.calibration import Calibration
    from centerdet.detector.detector import Detector
    from centerdet.detector.pretrained import load
    from centerdet.detector.refined import RefinementConfig
    from centerdet.evaluation.calibrate import calibrate
    from centerdet.evaluation.metrics import evaluate, score_iou
    from centerdet.evaluation.report import EvaluationReport
    from centerdet.model.centernet import CenterNet, NetworkConfig
    from centerdet.model.codec import Codec, CodecConfig
    from centerdet.model.losses import CenterLoss, LossConfig
    from centerdet.model.types import Batch, Prediction, Target
    from centerdet.refine.prior import ScenePrior
    from centerdet.synthetic.scenes import ScenesConfig, SyntheticScenes, benchmark_scenes, make_data
    from centerdet.training.config import ImagesConfig, TrainingConfig
    from centerdet.training.own_images import train
    from centerdet.training.trainer import BatchSource, fit
else:  # hidden from type checkers, which would otherwise accept any name
    from importlib import import_module

    _MODULES = {
        "box": ("Detection", "RotatedBox"),
        "data.augment": ("AugmentationConfig",),
        "data.results": ("draw", "predict", "to_supervision", "to_table"),
        "detector.calibration": ("Calibration",),
        "detector.detector": ("Detector",),
        "detector.pretrained": ("load",),
        "detector.refined": ("RefinementConfig",),
        "evaluation.calibrate": ("calibrate",),
        "evaluation.metrics": ("evaluate", "score_iou"),
        "evaluation.report": ("EvaluationReport",),
        "model.centernet": ("CenterNet", "NetworkConfig"),
        "model.codec": ("Codec", "CodecConfig"),
        "model.losses": ("CenterLoss", "LossConfig"),
        "model.types": ("Batch", "Prediction", "Target"),
        "refine.prior": ("ScenePrior",),
        "synthetic.scenes": ("ScenesConfig", "SyntheticScenes", "benchmark_scenes", "make_data"),
        "training.config": ("ImagesConfig", "TrainingConfig"),
        "training.own_images": ("train",),
        "training.trainer": ("BatchSource", "fit"),
    }

    def __getattr__(name: str) -> object:
        """Imports a public name at its first use."""
        for module, names in _MODULES.items():
            if name in names:
                globals()[name] = getattr(import_module(f"centerdet.{module}"), name)
                return globals()[name]
        raise AttributeError(f"module 'centerdet' has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
