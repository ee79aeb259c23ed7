"""A run's place in its schedule: by steps, by minutes, after a plateau."""

import itertools
import json

import pytest

from centerdet.synthetic.batches import CurriculumConfig, Phase, SyntheticBatches
from centerdet.training.config import TrainingConfig
from centerdet.training.optim import learning_rate
from centerdet.training.optim_config import OptimConfig
from centerdet.training.schedule import Schedule, divide_time, limit_time
from tests.helpers import SmallBatches, entries, state_of, train_tiny

RATES = OptimConfig(warmup_steps=10)


def make_schedule(**settings):
    return Schedule(**{"steps": 100, "validate_every": 20, **settings})


def test_without_limits_the_place_is_the_step():
    schedule = make_schedule()
    schedule.seconds = 1e6
    assert [schedule.place(step) for step in (0, 1, 57, 100)] == [0, 1, 57, 100]
    due = [step for step in range(1, 101) if schedule.validation_is_due(step - 1, step)]
    assert due == [20, 40, 60, 80, 100]


def test_time_moves_the_schedule_when_it_is_ahead_of_the_steps():
    schedule = make_schedule(max_minutes=10)
    places = []
    for minutes in (0, 4.5, 9):
        schedule.seconds = 60 * minutes
        places.append(schedule.place(20))
    assert places == pytest.approx([20, 50, 100])  # a tenth of the time is for the calibration
    rates = [learning_rate(place, RATES, schedule.steps) for place in places]
    assert rates[0] > rates[1] > rates[2] == pytest.approx(0)


def test_long_validations_leave_time_for_the_calibration_and_for_training():
    schedule = make_schedule(max_minutes=10)
    schedule.seconds = 120
    schedule.validated(5, improved=True, seconds=60)
    assert schedule.place(5) == pytest.approx(100 * 180 / (600 - 2 * 60))
    assert not schedule.validation_is_due(39, 41)  # the pause after a validation is at least four times its time
    schedule.seconds += 240
    assert schedule.validation_is_due(39, 41)
    assert schedule.validation_is_due(99, 100)


def test_after_a_plateau_the_learning_rate_falls_to_zero_without_a_jump():
    schedule = make_schedule(patience=2, steps=1000)
    for step, improved in ((100, True), (200, False), (300, True), (400, False), (500, False)):
        assert not schedule.is_annealing
        schedule.validated(step, improved=improved, seconds=1)
    assert schedule.is_annealing
    places = [schedule.place(step) for step in range(500, 552)]
    assert places[0] == 500
    assert places[50] == places[51] == 1000  # a tenth of 500 steps
    rates = [learning_rate(place, RATES, schedule.steps) for place in places]
    assert all(before >= after for before, after in itertools.pairwise(rates))
    assert max(before - after for before, after in itertools.pairwise(rates)) < 0.05 * RATES.learning_rate
    assert not schedule.validation_is_due(700, 800)  # only the last one
    assert schedule.validation_is_due(980, 1000)


def test_the_state_survives_a_checkpoint():
    schedule, restored = make_schedule(max_minutes=3, patience=1), make_schedule(max_minutes=3, patience=1)
    schedule.seconds = 33.5
    schedule.validated(40, improved=True, seconds=2.0)
    schedule.validated(50, improved=False, seconds=9.0)
    restored.restore(schedule.state())
    assert restored.state() == schedule.state()
    assert restored.place(52) == schedule.place(52)
    for wrong in ({"seconds": -1.0}, {"seconds": float("nan")}, {"stale": -1}, {"plateau": (0, 1.0)}):
        with pytest.raises(ValueError, match="schedule is invalid"):
            restored.restore({**schedule.state(), **wrong})


@pytest.mark.parametrize("second_stage", [True, False])
@pytest.mark.parametrize("refinement", [True, False])
def test_the_parts_of_a_run_share_its_minutes(second_stage, refinement):
    parts = divide_time(30, second_stage=second_stage, refinement=refinement)
    assert sum(part or 0 for part in parts) == pytest.approx(30)
    assert [part is not None for part in parts] == [True, second_stage, refinement]
    assert all(part is None or part >= 3 for part in parts)
    assert divide_time(None, second_stage=second_stage, refinement=refinement) == (None, None, None)


def test_a_calibration_ends_with_its_time():
    assert len(list(limit_time(range(9), 0.0, at_least=4))) == 4
    assert list(limit_time(range(9), 1.0, at_least=4)) == list(range(9))
    assert list(limit_time(range(9), None)) == list(range(9))


@pytest.mark.parametrize("settings", [{"max_minutes": 0}, {"max_minutes": float("nan")}, {"patience": 0}])
def test_impossible_limits_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        TrainingConfig(**settings)


def test_the_curriculum_follows_the_place():
    phases = (Phase(end_fraction=0.5, crop_size=64), Phase(crop_size=96))
    batches = SyntheticBatches(0, steps=10, curriculum=CurriculumConfig(batch_size=1, phases=phases))
    assert batches.at_place(2, 2.0).images.equal(batches[2].images)
    assert batches.at_place(2, 5.0).images.shape[-1] == 96
    with pytest.raises(IndexError):
        batches.at_place(3, 10.0)


def test_a_run_ends_with_its_time(tmp_path, capsys):
    config = TrainingConfig(steps=10**6, warmup_steps=2, log_every=1, validate_every=10**6, max_minutes=0.01)
    report = train_tiny(tmp_path, config=config)
    state, lines = state_of(tmp_path), entries(tmp_path)
    assert 1 < state["step"] < 1000
    assert state["schedule"]["seconds"] < 15
    assert [line["step"] for line in lines if "validation" in line] == [state["step"]]
    assert lines[-2]["learning_rate"] == pytest.approx(0, abs=1e-9)
    assert report.ap == state["best"]["ap"]
    progress = capsys.readouterr().err
    assert f"step {state['step']:,} (100%)" in progress
    assert "AP@0.7" in progress


def test_a_stopped_run_with_a_time_limit_continues_with_the_time_that_is_left(tmp_path):
    config = TrainingConfig(steps=8, warmup_steps=2, validate_every=4, checkpoint_every=1, max_minutes=60)

    def crash(step):
        if step == 3:
            raise RuntimeError("power failure")

    with pytest.raises(RuntimeError):
        train_tiny(tmp_path, config=config, source=SmallBatches(crash))
    before = state_of(tmp_path)["schedule"]["seconds"]
    train_tiny(tmp_path, config=config, resume=True)
    assert state_of(tmp_path)["schedule"]["seconds"] > before > 0
    assert state_of(tmp_path)["step"] == 8


def test_a_run_without_improvement_ends_early(tmp_path):
    config = TrainingConfig(steps=500, warmup_steps=0, log_every=1, validate_every=2, patience=1, learning_rate=1e-9)
    train_tiny(tmp_path, config=config)
    state = state_of(tmp_path)
    assert state["schedule"]["plateau"] is not None
    assert state["step"] < 20
    assert json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])["step"] == state["step"]
