"""The log of a run: TensorBoard curves and images, and the same numbers in ``metrics.jsonl``."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from centerdet.detector.detector import Detector
from centerdet.drawing import contact_sheet, draw_tile
from centerdet.evaluation.report import EvaluationReport
from centerdet.files import read_regular, write_atomically
from centerdet.model.losses import LossTerms
from centerdet.model.second_stage_loss import SecondStageLoss
from centerdet.preprocessing import to_unit_range

# Validation curves: field of the report, and name of the curve.
_CURVES = {"ap": "AP@0.7", "ap_mean": "AP@[0.50:0.95]", "mean_iou": "IoU", "presence_accuracy": "presence accuracy"}
MAX_BYTES = 2**30  # of the log: a million steps take 0.2 GB
_TILE_SIDE = 320  # px, about the longer side of a logged image: four fit on a screen


OnLog = Callable[[int, dict[str, float]], None]


class MetricLogger:
    """Writes the log of a run; a context manager.

    Args:
        directory: The run's folder.
        resume_from: Step of the checkpoint that the run continues from. Later entries are dropped, since their steps
            are done again.
        on_log: Called with the step and the new values, by the names of the TensorBoard curves.
    """

    def __init__(self, directory: Path, *, resume_from: int = 0, on_log: OnLog | None = None) -> None:
        from torch.utils.tensorboard import SummaryWriter  # slow to import, and only training needs it

        self._path, self._on_log = directory / "metrics.jsonl", on_log
        kept = []
        if resume_from and self._path.exists():
            lines = _read_lines(self._path)
            kept = [line for line in lines if _step(line) <= resume_from]
        write_atomically(self._path, "".join(f"{line}\n" for line in kept).encode())
        purge = resume_from + 1 if resume_from else None
        self._board = SummaryWriter(directory / "tensorboard", purge_step=purge)
        # Images take megabytes. They have a separate folder, so that the curves stay small enough to archive.
        self._images = SummaryWriter(directory / "tensorboard" / "images", purge_step=purge)

    def __enter__(self) -> MetricLogger:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for board in (self._board, self._images):
            try:
                board.close()
            except OSError:
                if kind is None:  # otherwise the run already stops, probably with the same error
                    raise

    def log_losses(self, step: int, terms: LossTerms | SecondStageLoss, learning_rate: float) -> None:
        """Logs the loss, its terms, and the learning rate of the next step."""
        losses = {name: float(value) for name, value in terms._asdict().items()}
        values = {f"loss/{name}": value for name, value in losses.items()}
        self._log_scalars(step, {**values, "learning rate": learning_rate})
        self._append({"step": step, "loss": losses, "learning_rate": learning_rate})

    def log_validation(
        self, step: int, report: EvaluationReport, detector: Detector, images: Sequence[NDArray]
    ) -> None:
        """Logs a validation report, and the detections and heatmaps of a few images ``(H, W)``."""
        self._log_scalars(step, {f"validation/{name}": getattr(report, field) for field, name in _CURVES.items()})
        tiles = [
            draw_tile(
                to_unit_range(image, detector.intensity_range),
                _TILE_SIDE,
                predicted=detection,
                heatmap=detector.heatmap(image),
                has_heading=detector.has_heading,
            )
            for image, detection in zip(images, detector.detect_batch(images), strict=True)
        ]
        self._images.add_image("heatmaps", contact_sheet(tiles), step, dataformats="HWC")
        self._board.flush()
        self._images.flush()
        self._append({"step": step, "validation": report.to_dict(), "threshold": detector.threshold})

    def _log_scalars(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._board.add_scalar(name, value, step)
        if self._on_log is not None:
            self._on_log(step, values)

    def _append(self, entry: dict[str, Any]) -> None:
        with open(self._path, "a") as file:
            file.write(json.dumps(entry) + "\n")


def _step(line: str) -> float:
    """Returns the step of an entry; infinity for an incomplete entry, which a crash left, and for other content."""
    try:
        step = json.loads(line)["step"]
    except (LookupError, RecursionError, TypeError, ValueError):
        return math.inf
    return step if isinstance(step, int | float) and step >= 0 else math.inf


def _read_lines(path: Path) -> list[str]:
    try:
        return read_regular(path, max_bytes=MAX_BYTES).decode(errors="replace").splitlines()
    except ValueError as error:
        raise ValueError(f"cannot read {path}: {error}; move it away to resume without the log") from None
