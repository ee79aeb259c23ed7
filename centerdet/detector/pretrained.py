"""Loading of detectors, from files or from the pretrained weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from centerdet.detector.detector import Detector
from centerdet.files import open_regular
from centerdet.noise_level import NoiseLevel

if TYPE_CHECKING:
    import torch

TASK_WEIGHTS = ("accurate", "fast")  # for the task's scenes; the first is the default
PRETRAINED = {name: f"{name}.safetensors" for name in (*TASK_WEIGHTS, "generic")}  # file by name
MAX_SHOWN = 300  # characters of a path in an error message


def load(
    path: str | Path | None = None,
    *,
    threshold: float | None = None,
    noise_level: NoiseLevel | None = None,
    device: torch.device | str = "cpu",
) -> Detector:
    """Loads a detector.

    Args:
        path: A file written by ``Detector.save`` or ``train.py``, or the name of pretrained weights as a string:
            ``accurate`` (the default) or ``fast``, for the task's scenes, or ``generic``, from which training on other
            images starts. A file with such a name is "./fast".
        threshold: Score threshold in [0, 1]; ``None``: the one stored with the weights.
        noise_level: Noise level of the images, in (0, 1]; "auto": measured in each image; ``None``: as stored with the
            weights. See ``Detector.with_noise_level``.
        device: A torch device.

    Raises:
        ValueError: If the file is missing, damaged or of another kind, or threshold or noise level is out of range.
    """
    path = TASK_WEIGHTS[0] if path is None else path
    file = pretrained_path(path) if isinstance(path, str) and path in PRETRAINED else path
    try:
        open_regular(file).close()
    except ValueError as error:
        shown = str(path) if len(str(path)) <= MAX_SHOWN else f"{str(path)[:MAX_SHOWN]}..."
        raise ValueError(
            f"cannot load weights {shown}: {error}; give a file that Detector.save wrote, or the name of "
            f"pretrained weights: {', '.join(PRETRAINED)}"
        ) from None
    detector = Detector.load(file, device=device)
    if threshold is not None:
        detector.threshold = threshold
    return detector if noise_level is None else detector.with_noise_level(noise_level)


def pretrained_path(name: str) -> Path:
    """The file of ``PRETRAINED`` weights: inside an installed package, beside the package in a checkout."""
    package = Path(__file__).parent.parent
    installed = package / "weights" / PRETRAINED[name]
    return installed if installed.exists() else package.parent / "weights" / PRETRAINED[name]
