"""How far a run is in its schedule: by steps, by minutes, and after a plateau."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from centerdet.training.config import TrainingConfig

RESERVE = 0.1  # of max_minutes: for the calibration after the last step
VALIDATIONS_AFTER = 2  # the last validation and the calibration, each as long as a validation
MAX_RESERVE = 0.5  # of max_minutes, however long a validation takes
PAUSE = 4.0  # with max_minutes: durations of a validation between two of them, so that training gets most of the time
ANNEALING = 0.1  # of the steps done so far: length of the rest of the schedule after a plateau

_Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_SECONDS: TypeAdapter[float] = TypeAdapter(_Seconds)
_TYPES: dict[str, TypeAdapter[Any]] = {
    "stale": TypeAdapter(Annotated[int, Field(ge=0)]),
    "plateau": TypeAdapter(tuple[Annotated[int, Field(ge=1)], _Seconds] | None),
    "validation_end": _SECONDS,
    "validation_seconds": _SECONDS,
}


class Schedule:
    """Maps steps to places in the schedule, in steps of ``TrainingConfig.steps``.

    Without ``max_minutes`` and before a plateau, the place is the number of steps done. With ``max_minutes`` it is at
    least the elapsed fraction of the time. After ``patience`` validations without improvement, the rest of the schedule
    passes in a tenth of the steps done so far, so that the learning rate still falls to zero without a jump. Learning
    rate, curriculum and validations follow the place.

    Args:
        config: Settings of the loop.

    Attributes:
        seconds: Time of all steps and validations so far, over all parts of a resumed run.
    """

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config
        self.seconds = 0.0
        self._stale = 0  # validations since the best one
        self._plateau: tuple[int, float] | None = None  # step and place where annealing began
        self._validation_end = self._validation_seconds = 0.0

    @property
    def is_annealing(self) -> bool:
        """Whether a plateau has ended the ordinary schedule."""
        return self._plateau is not None

    def place(self, step: int) -> float:
        """Returns the place of a step, from 0 to ``steps``; there, the run is over."""
        steps, place = self.config.steps, float(step)
        if self._plateau is not None:
            start, first = self._plateau
            share = min(1.0, (step - start) / max(1, round(ANNEALING * start)))
            place = first + share * (steps - first) if share < 1 else steps
        if self.config.max_minutes is not None:
            place = max(place, self.seconds / self._available() * steps)
        return min(place, steps)

    def _available(self) -> float:
        """Returns the seconds for steps and validations, without those for the last validation and calibration."""
        assert self.config.max_minutes is not None
        limit = 60 * self.config.max_minutes
        reserve = max(RESERVE * limit, VALIDATIONS_AFTER * self._validation_seconds)
        return limit - min(reserve, MAX_RESERVE * limit)

    def validation_is_due(self, before: float, after: float) -> bool:
        """Returns whether a validation is due after a step that led from one place to another."""
        every, steps = self.config.validate_every, self.config.steps
        if after >= steps:
            return True
        if self.is_annealing or after // every == before // every:
            return False
        pause = PAUSE * self._validation_seconds if self.config.max_minutes is not None else 0.0
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
        patience = self.config.patience
        if patience is not None and self._stale >= patience and not self.is_annealing:
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
