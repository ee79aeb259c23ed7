"""What a run shows of its progress on stderr: a bar on terminals, lines elsewhere."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm

from centerdet.evaluation.report import EvaluationReport
from centerdet.model.losses import LossTerms
from centerdet.training.run_state import TrainingRun

LINE_EVERY = 30.0  # seconds between two lines
WARM_UP_STEPS = 3  # slower than the others: memory, kernels
MEASURED_STEPS = 20  # after the warm-up, for the estimate of the run's time


class Progress:
    """Shows a run's progress; a context manager.

    Args:
        run: The run, at its first step.
        silent: Show nothing, as in all processes but the main one.
    """

    def __init__(self, run: TrainingRun, *, silent: bool = False) -> None:
        self._run, self._silent = run, silent
        self._first_step, self._first_place = run.step, run.place
        self._start = self._last_line = self._measured_from = time.monotonic()
        self._bar = tqdm(total=run.config.steps, initial=run.step, unit="step", disable=True if silent else None)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def update(self, terms: LossTerms, report: EvaluationReport | None) -> None:
        """Shows a step's loss and the validation after it, if there was one."""
        if self._silent:
            return
        run, now = self._run, time.monotonic()
        self._estimate(now)
        if not self._bar.disable:
            self._bar.update()
            if run.step % run.config.log_every == 0 or report is not None:
                self._bar.set_postfix(loss=f"{float(terms.total):.3f}", best=f"{run.best.get('ap', 0):.3f}")
        elif report is not None or now - self._last_line >= LINE_EVERY:
            self._last_line = now
            _print(self._line(float(terms.total), report, now))

    def _line(self, loss: float, report: EvaluationReport | None, now: float) -> str:
        run, steps = self._run, self._run.config.steps
        parts = [
            f"{format_time(run.schedule.seconds)}  step {run.step:,} ({run.place / steps:.0%})",
            f"loss {loss:.3f}",
        ]
        if report is not None:
            parts.append(f"AP@0.7 {report.ap:.3f} (best {run.best['ap']:.3f})")
        if run.schedule.is_annealing:
            parts.append("plateau: ends early")
        if run.place > self._first_place:
            left = (now - self._start) * (steps - run.place) / (run.place - self._first_place)
            parts.append(f"about {format_time(left)} left")
        return "  ".join(parts)

    def _estimate(self, now: float) -> None:
        """Prints, once, how long the run will take, from the time of its first steps."""
        run, done = self._run, self._run.step - self._first_step
        if done == WARM_UP_STEPS:
            self._measured_from = now
        if done != WARM_UP_STEPS + MEASURED_STEPS:
            return
        step_seconds = (now - self._measured_from) / MEASURED_STEPS
        seconds, limit = step_seconds * (run.config.steps - run.step), run.config.max_minutes
        if limit is not None:
            seconds = min(seconds, max(0.0, 60 * limit - run.schedule.seconds))
        _print(f"{step_seconds:.3g} s a step: about {format_time(seconds)} to go, without validations and calibration")


def format_time(seconds: float) -> str:
    """Returns a time as ``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _print(line: str) -> None:
    tqdm.write(line, file=sys.stderr)
