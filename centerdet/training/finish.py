"""What follows the training of a network: each step adds something to a weights file, once.

A step is done if the file holds its report. So a stopped run continues with the step that it lacks, and a finished run
stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from centerdet.detector.detector import Detector
from centerdet.evaluation.calibrate import calibrate
from centerdet.evaluation.metrics import LabelledImages
from centerdet.evaluation.report import EvaluationReport
from centerdet.folder_lock import lock_folder

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

    Raises:
        ValueError: If another process trains into the file's folder, or there is no such file.
    """
    with lock_folder(path.parent):
        detector = Detector.load(path, device=device)
        if name in detector.metadata:
            return EvaluationReport(**detector.metadata[name])
        detector, report = step(detector)
        detector.metadata[name] = report.to_dict()
        detector.save(path)
        return report


def finish_stages(
    path: Path,
    validation: LabelledImages,
    fit_second: Callable[[Detector], Detector] | None,
    *,
    device: torch.device | str = "cpu",
) -> EvaluationReport:
    """Calibrates a trained first stage, then adds and calibrates the second one, if there is one.

    Args:
        path: The weights file.
        validation: Labelled images that calibrate.
        fit_second: Adds the second stage to the detector of the first one; ``None``: there is none.
        device: Where to run.

    Returns:
        The report of the last calibration.
    """

    def calibrate_first(detector: Detector) -> tuple[Detector, EvaluationReport]:
        return detector, calibrate(detector, validation, progress=True)

    report = add_step(path, FIRST_STAGE, calibrate_first, device=device)
    if fit_second is None:
        return report

    def add_second(detector: Detector) -> tuple[Detector, EvaluationReport]:
        detector = fit_second(detector)
        return detector, calibrate(detector, validation, progress=True)

    return add_step(path, SECOND_STAGE, add_second, device=device)
