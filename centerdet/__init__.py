"""centerdet: finds one rotated object, with its heading, in a single-channel image."""

from centerdet.box import Detection, RotatedBox
from centerdet.calibration import Calibration
from centerdet.codec import Codec, CodecConfig
from centerdet.detector import Detector, load
from centerdet.losses import CenterLoss, LossConfig
from centerdet.maps import Batch, Prediction, Target
from centerdet.metrics import calibrate, evaluate, score_iou
from centerdet.network import CenterNet, NetworkConfig
from centerdet.report import Report
from centerdet.run import TrainingConfig
from centerdet.scene_facts import SceneFacts
from centerdet.scenes import Scenes, ScenesConfig, make_data, official_scenes
from centerdet.training import Source, fit

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "Calibration",
    "CenterLoss",
    "CenterNet",
    "Codec",
    "CodecConfig",
    "Detection",
    "Detector",
    "LossConfig",
    "NetworkConfig",
    "Prediction",
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
    "load",
    "make_data",
    "official_scenes",
    "score_iou",
]
