"""What the training of a stage shows of its progress on stderr: a bar on terminals, lines elsewhere."""

from __future__ import annotations

import sys
import time

from torch import Tensor
from tqdm import tqdm

from centerdet.evaluation.report import EvaluationReport
from centerdet.training.schedule import Schedule

LINE_EVERY = 30.0  # seconds between two lines
POSTFIX_EVERY = 1.0  # seconds between two losses beside a bar
WARM_UP_STEPS = 3  # slower than the others: memory, kernels
MEASURED_STEPS = 20  # after the warm-up, for the estimate of the run's time


class Progress:
    """Shows the progress of the training of a stage; a context manager.

    Args:
        schedule: Of the training.
        step: Number of steps done.
        name: Of the stage, put before each line; empty: none.
        best: The best AP@0.7 so far; ``None``: the best weights are not kept.
        silent: Show nothing, as in all processes but the main one.
    """

    def __init__(
        self, schedule: Schedule, *, step: int, name: str = "", best: float | None = None, silent: bool = False
    ) -> None:
        self._schedule, self._silent, self._best = schedule, silent, best
        self._name = f"{name}: " if name else ""
        self._first_place, self._step = schedule.place(step), step
        self._start = self._last_shown = time.monotonic()
        self._measured_from: tuple[int, float] | None = None  # step and time after the warm-up
        self._first_step, self._is_estimated = step, False
        disable = True if silent else None
        self._bar = tqdm(total=schedule.steps, initial=step, unit="step", desc=name or None, disable=disable)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def update(self, step: int, loss: Tensor, report: EvaluationReport | None) -> None:
        """Shows a step's loss and the validation after it, if there was one."""
        if self._silent:
            return
        now, done, self._step = time.monotonic(), step - self._step, step
        if report is not None and self._best is not None:
            self._best = max(self._best, report.ap)
        self._estimate(now)
        every = LINE_EVERY if self._bar.disable else POSTFIX_EVERY
        is_due = report is not None or now - self._last_shown >= every
        if is_due:
            self._last_shown = now
        if not self._bar.disable:
            self._bar.update(done)
            if is_due:
                best = {} if self._best is None else {"best": f"{self._best:.3f}"}
                self._bar.set_postfix(loss=f"{float(loss):.3f}", **best)
        elif is_due:
            _print(self._line(float(loss), report, now))

    def _line(self, loss: float, report: EvaluationReport | None, now: float) -> str:
        schedule, place = self._schedule, self._schedule.place(self._step)
        parts = [
            f"{self._name}{format_time(schedule.seconds)}  step {self._step:,} ({place / schedule.steps:.0%})",
            f"loss {loss:.3f}",
        ]
        if report is not None:
            best = "" if self._best is None else f" (best {self._best:.3f})"
            parts.append(f"AP@0.7 {report.ap:.3f}{best}")
        if schedule.is_annealing:
            parts.append("plateau: ends early")
        if place > self._first_place:
            left = (now - self._start) * (schedule.steps - place) / (place - self._first_place)
            parts.append(f"about {format_time(left)} left")
        return "  ".join(parts)

    def _estimate(self, now: float) -> None:
        """Prints, once, how long the training will take, from the time of its first steps."""
        if self._measured_from is None and self._step - self._first_step >= WARM_UP_STEPS:
            self._measured_from = (self._step, now)
        if self._is_estimated or self._measured_from is None:
            return
        measured = self._step - self._measured_from[0]
        if measured < MEASURED_STEPS:
            return
        self._is_estimated = True
        schedule, step_seconds = self._schedule, (now - self._measured_from[1]) / measured
        seconds = step_seconds * (schedule.steps - self._step)
        if schedule.max_minutes is not None:
            seconds = min(seconds, max(0.0, 60 * schedule.max_minutes - schedule.seconds))
        _print(
            f"{self._name}{step_seconds:.3g} s a step: about {format_time(seconds)} to go, without validations and "
            "calibration"
        )


def format_time(seconds: float) -> str:
    """Returns a time as ``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _print(line: str) -> None:
    tqdm.write(line, file=sys.stderr)
