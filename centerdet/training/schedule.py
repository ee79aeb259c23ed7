"""How far a training is in its schedule: by steps, by minutes, and after a plateau."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from time import monotonic
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

RESERVE = 0.1  # of max_minutes: for the calibration after the last step
VALIDATIONS_AFTER = 2  # the last validation and the calibration, each as long as a validation
MAX_RESERVE = 0.5  # of max_minutes, however long a validation takes
PAUSE = 4.0  # with max_minutes: durations of a validation between two of them, so that training gets most of the time
ANNEALING = 0.1  # of the steps done so far: length of the rest of the schedule after a plateau

SECOND_STAGE_SHARE = 0.5  # of the time of a run that trains both stages
REFINEMENT_SHARE = 0.1  # of the time of a run that calibrates a refinement
CALIBRATION_SHARE = RESERVE / 2  # of a stage's time: the other half of the reserve is for its last validation
MIN_CALIBRATION = 500  # scenes, however little time there is: fewer say little about scores

Scene = TypeVar("Scene")
_Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_SECONDS: TypeAdapter[float] = TypeAdapter(_Seconds)
_TYPES: dict[str, TypeAdapter[Any]] = {
    "stale": TypeAdapter(Annotated[int, Field(ge=0)]),
    "plateau": TypeAdapter(tuple[Annotated[int, Field(ge=1)], _Seconds] | None),
    "validation_end": _SECONDS,
    "validation_seconds": _SECONDS,
}


class TimeLimits(NamedTuple):
    """Minutes of the parts of a run, each with its validations and calibration; ``None``: no limit, or no such part."""

    first_stage: float | None
    second_stage: float | None
    refinement: float | None


def divide_time(max_minutes: float | None, *, second_stage: bool, refinement: bool = False) -> TimeLimits:
    """Divides the minutes of a run among its parts.

    Args:
        max_minutes: Of the whole run; ``None``: no limit.
        second_stage: Whether it trains a second stage.
        refinement: Whether it calibrates a refinement.
    """
    if max_minutes is None:
        return TimeLimits(None, None, None)
    last = REFINEMENT_SHARE * max_minutes if refinement else 0.0
    second = SECOND_STAGE_SHARE * (max_minutes - last) if second_stage else 0.0
    return TimeLimits(max_minutes - last - second, second or None, last or None)


def limit_time(scenes: Iterable[Scene], minutes: float | None, *, at_least: int = MIN_CALIBRATION) -> Iterator[Scene]:
    """Yields scenes until the time is over, from the first one on, but at least that many; ``None``: all of them."""
    start = monotonic()
    for count, scene in enumerate(scenes):
        if minutes is not None and count >= at_least and monotonic() - start > 60 * minutes:
            return
        yield scene


class Schedule:
    """Maps steps to places in the schedule, from 0 to ``steps``.

    Without ``max_minutes`` and before a plateau, the place is the number of steps done. With ``max_minutes`` it is at
    least the elapsed fraction of the time. After ``patience`` validations without improvement, the rest of the schedule
    passes in a tenth of the steps done so far, so that the learning rate still falls to zero without a jump. Learning
    rate, curriculum and validations follow the place.

    Args:
        steps: Number of steps, an upper limit.
        validate_every: Places between validations.
        max_minutes: As in ``TrainingConfig``.
        patience: As in ``TrainingConfig``.

    Attributes:
        steps: See there.
        max_minutes: See there.
        seconds: Time of all steps and validations so far, over all parts of a resumed run.
    """

    def __init__(
        self, *, steps: int, validate_every: int, max_minutes: float | None = None, patience: int | None = None
    ) -> None:
        self.steps, self.max_minutes = steps, max_minutes
        self._validate_every, self._patience = validate_every, patience
        self.seconds = 0.0
        self._stale = 0  # validations since the best one
        self._plateau: tuple[int, float] | None = None  # step and place where annealing began
        self._validation_end = self._validation_seconds = 0.0

    @property
    def is_annealing(self) -> bool:
        """Whether a plateau has ended the ordinary schedule."""
        return self._plateau is not None

    def place(self, step: int) -> float:
        """Returns the place of a step, from 0 to ``steps``; there, the training is over."""
        steps, place = self.steps, float(step)
        if self._plateau is not None:
            start, first = self._plateau
            share = min(1.0, (step - start) / max(1, round(ANNEALING * start)))
            place = first + share * (steps - first) if share < 1 else steps
        if self.max_minutes is not None:
            place = max(place, self.seconds / self._available() * steps)
        return min(place, steps)

    def _available(self) -> float:
        """Returns the seconds for steps and validations, without those for the last validation and calibration."""
        assert self.max_minutes is not None
        limit = 60 * self.max_minutes
        reserve = max(RESERVE * limit, VALIDATIONS_AFTER * self._validation_seconds)
        return limit - min(reserve, MAX_RESERVE * limit)

    def validation_is_due(self, before: float, after: float) -> bool:
        """Returns whether a validation is due after a step that led from one place to another."""
        if after >= self.steps:
            return True
        if self.is_annealing or after // self._validate_every == before // self._validate_every:
            return False
        pause = PAUSE * self._validation_seconds if self.max_minutes is not None else 0.0
        return self.seconds - self._validation_end >= pause

    def validated(self, step: int, *, improved: bool, seconds: float) -> None:
        """Takes note of a validation.

        Args:
            step: Number of steps done.
            improved: Whether it was the best so far.
            seconds: How long it took.
        """
        self.seconds += seconds
        self._validation_end, self._validation_seconds = self.seconds, max(seconds, self._validation_seconds)
        self._stale = 0 if improved else self._stale + 1
        if self._patience is not None and self._stale >= self._patience and not self.is_annealing:
            self._plateau = (step, self.place(step))

    def state(self) -> dict[str, Any]:
        """Returns plain values for ``restore``."""
        return {name: getattr(self, f"_{name}") for name in _TYPES} | {"seconds": self.seconds}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restores the values of ``state``.

        Raises:
            KeyError: If a value is missing.
            ValueError: If a value is of another kind.
        """
        try:
            self.seconds = _SECONDS.validate_python(state["seconds"])
            for name, adapter in _TYPES.items():
                setattr(self, f"_{name}", adapter.validate_python(state[name]))
        except ValidationError as error:
            raise ValueError(f"schedule is invalid: {error.errors()[0]['msg']}") from None
