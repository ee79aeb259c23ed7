"""centerdet: finds one rotated object, with its heading, in a single-channel image."""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "AugmentationConfig",
    "Batch",
    "Calibration",
    "CenterLoss",
    "CenterNet",
    "Codec",
    "CodecConfig",
    "Detection",
    "Detector",
    "ImagesConfig",
    "LossConfig",
    "NetworkConfig",
    "Prediction",
    "Refinement",
    "Report",
    "RotatedBox",
    "SceneFacts",
    "Scenes",
    "ScenesConfig",
    "Source",
    "Target",
    "TrainingConfig",
    "calibrate",
    "evaluate",
    "fit",
    "learn",
    "load",
    "make_data",
    "official_scenes",
    "score_iou",
]

if TYPE_CHECKING:
    from centerdet.box import Detection, RotatedBox
    from centerdet.calibration import Calibration
    from centerdet.codec import Codec, CodecConfig
    from centerdet.config import ImagesConfig
    from centerdet.data.augment import AugmentationConfig
    from centerdet.data.learn import learn
    from centerdet.detector import Detector
    from centerdet.losses import CenterLoss, LossConfig
    from centerdet.maps import Batch, Prediction, Target
    from centerdet.metrics import calibrate, evaluate, score_iou
    from centerdet.network import CenterNet, NetworkConfig
    from centerdet.report import Report
    from centerdet.run import TrainingConfig
    from centerdet.scene_facts import Refinement, SceneFacts
    from centerdet.scenes import Scenes, ScenesConfig, make_data, official_scenes
    from centerdet.shipped import load
    from centerdet.training import Source, fit
else:  # hidden from type checkers, which would take any name for a public one
    from importlib import import_module

    _MODULES = {
        "box": ("Detection", "RotatedBox"),
        "calibration": ("Calibration",),
        "codec": ("Codec", "CodecConfig"),
        "config": ("ImagesConfig",),
        "data.augment": ("AugmentationConfig",),
        "data.learn": ("learn",),
        "detector": ("Detector",),
        "losses": ("CenterLoss", "LossConfig"),
        "maps": ("Batch", "Prediction", "Target"),
        "metrics": ("calibrate", "evaluate", "score_iou"),
        "network": ("CenterNet", "NetworkConfig"),
        "report": ("Report",),
        "run": ("TrainingConfig",),
        "scene_facts": ("Refinement", "SceneFacts"),
        "scenes": ("Scenes", "ScenesConfig", "make_data", "official_scenes"),
        "shipped": ("load",),
        "training": ("Source", "fit"),
    }

    def __getattr__(name: str) -> object:
        """Imports a public name when it is first asked for (PEP 562): an exported model runs without torch."""
        for module, names in _MODULES.items():
            if name in names:
                globals()[name] = getattr(import_module(f"centerdet.{module}"), name)
                return globals()[name]
        raise AttributeError(f"module 'centerdet' has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
