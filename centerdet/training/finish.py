"""What follows the training of a network: each step adds something to a weights file, once.

A step is done if the file holds its report. So a stopped run continues with the step that it lacks, and a finished run
stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from centerdet.detector.detector import Detector
from centerdet.evaluation.report import EvaluationReport

FIRST_STAGE, SECOND_STAGE, REFINEMENT = "calibration", "second_stage", "refinement"  # keys of the reports in metadata
Step = Callable[[Detector], tuple[Detector, EvaluationReport]]


def add_step(path: Path, name: str, step: Step, *, device: torch.device | str = "cpu") -> EvaluationReport:
    """Does a step, unless it is done already.

    Args:
        path: The weights file, which is replaced as a whole.
        name: Key of the step's report in the metadata.
        step: From the detector in the file to the one that replaces it, and its report.
        device: Where to run.

    Returns:
        The report, new or from the file.
    """
    detector = Detector.load(path, device=device)
    if name in detector.metadata:
        return EvaluationReport(**detector.metadata[name])
    detector, report = step(detector)
    detector.metadata[name] = report.to_dict()
    detector.save(path)
    return report
