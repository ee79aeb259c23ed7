"""A second look at detections by the laws of the scenes. Needs numba: ``pip install 'centerdet[refine]'``."""

from centerdet.refine.detector import RefinedDetector
from centerdet.refine.refiner import Fit, Refiner

__all__ = ["Fit", "RefinedDetector", "Refiner"]
