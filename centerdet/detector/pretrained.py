"""Loading detectors: from files, and the weights that are shipped, by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from centerdet.detector.detector import Detector

if TYPE_CHECKING:
    import torch

PRETRAINED = {"accurate": "accurate.safetensors", "fast": "fast.safetensors"}  # by name, the accurate ones first


def load(
    path: str | Path | None = None,
    *,
    threshold: float | None = None,
    device: torch.device | str = "cpu",
) -> Detector:
    """Loads a detector from a weights file; without a path, the accurate one shipped with centerdet.

    Args:
        path: A file written by ``Detector.save`` or ``train.py``; or a string that names shipped weights, ``shipped``
            (as ``None``) or ``fast``. A file of such a name is "./fast".
        threshold: Confidence threshold in [0, 1]; ``None``: the one stored with the weights.
        device: A torch device.

    Raises:
        ValueError: If the file is missing, damaged or of another kind, or the threshold out of range.
    """
    path = "accurate" if path is None else path
    file = pretrained_path(path) if isinstance(path, str) and path in PRETRAINED else path
    if not Path(file).exists():
        raise ValueError(
            f"cannot load weights {path}: there is no such file; give a file that Detector.save wrote, or name shipped "
            f"ones: {', '.join(PRETRAINED)}"
        )
    detector = Detector.load(file, device=device)
    if threshold is not None:
        detector.threshold = threshold
    return detector


def pretrained_path(name: str) -> Path:
    """The file of ``PRETRAINED`` weights: the package carries them when installed; in a checkout they lie beside it."""
    package = Path(__file__).parent.parent
    installed = package / "weights" / PRETRAINED[name]
    return installed if installed.exists() else package.parent / "weights" / PRETRAINED[name]
