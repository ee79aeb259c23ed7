"""Training of the second stage: both stages in one command, stopped anywhere, continued to the same bits."""

import errno
import os
import signal
from dataclasses import replace

import pytest
import torch
import yaml

import centerdet
import train as train_script
from centerdet.cli.main import main
from centerdet.folder_lock import lock_folder
from centerdet.model.second_stage import SecondStage
from centerdet.strict_yaml import parse
from centerdet.training import second_stage_trainer
from centerdet.training.checkpoint import load_checkpoint
from centerdet.training.config import Config
from centerdet.training.schedule import limit_time
from centerdet.training.second_stage_config import SecondStageRecipe, StartsConfig
from centerdet.training.second_stage_fit import fit_second_stage
from centerdet.training.second_stage_starts import StartBlocks
from tests.helpers import VALIDATION, SmallBatches, entries, make_detector, without_times

STAGE = {
    "network": {"rows": 24, "columns": 16, "channels": [4, 4, 4], "depths": [1, 0, 0], "hidden": [8, 4]},
    "starts": {"starts": 4},
    "training": {"blocks": 3, "batch_shares": [4, 2, 2], "warmup_steps": 2, "validate_every": 2},
    "images_per_block": 6,
}
SCENES = {
    "network": {"channels": [8, 8], "num_blocks": [1, 1]},
    "curriculum": {"batch_size": 4, "phases": [{"end_fraction": 1.0, "crop_size": 64}]},
    "training": {"steps": 4, "warmup_steps": 1, "log_every": 1, "validate_every": 2, "checkpoint_every": 2},
    "validation": {"scenes": 6, "calibration_scenes": 4},
    "second_stage": STAGE,
}
IMAGES = {
    "network": SCENES["network"],
    "training": SCENES["training"],
    "batch_size": 2,
    "crop_size": 64,
    "second_stage": {**STAGE, "other_first_stages": ["fast"]},
}
RECIPE = parse(SecondStageRecipe, STAGE)


@pytest.fixture(autouse=True)
def few_images_a_block(monkeypatch):
    """Whole scenes take the most time here."""
    monkeypatch.setattr("centerdet.training.second_stage_starts.FIRST_STAGE_BATCH", 3)


def signal_in_block(monkeypatch, block):
    """Sends SIGTERM while a block is trained on, once."""
    draw, sent = StartBlocks.__getitem__, []

    def draw_and_signal(self, now):
        if now == block and not sent:
            sent.append(os.kill(os.getpid(), signal.SIGTERM))
        return draw(self, now)

    monkeypatch.setattr(StartBlocks, "__getitem__", draw_and_signal)


def signal_at_step(monkeypatch, step):
    """Sends Ctrl-C at a step of the first stage, once."""
    run, sent = centerdet.training.run_state.TrainingRun.train_step, []

    def train_and_signal(self, batch):
        if self.step == step and not sent:
            sent.append(os.kill(os.getpid(), signal.SIGINT))
        return run(self, batch)

    monkeypatch.setattr(centerdet.training.run_state.TrainingRun, "train_step", train_and_signal)


def assert_same_result(folder, other):
    """Weights to the bit, settings, reports and logs of two finished runs."""
    ours, theirs = (centerdet.load(path / "best.safetensors") for path in (folder, other))
    assert without_times(ours.metadata) == without_times(theirs.metadata)
    assert (ours.threshold, ours.calibration) == (theirs.threshold, theirs.calibration)
    for one, two in ((ours.network, theirs.network), (ours.second_stage.network, theirs.second_stage.network)):
        states = one.state_dict(), two.state_dict()
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[1])
    for part in (".", "second_stage"):
        logs = [[without_times(entry) for entry in entries(path / part)] for path in (folder, other)]
        assert logs[0] == logs[1]
        losses = [entry["step"] for entry in logs[0] if "loss" in entry]
        assert losses == sorted(set(losses))


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    """The two commands that train, by name, without the folder of the run."""
    from tests.helpers import write_dataset

    folder = tmp_path_factory.mktemp("second_stage")
    (folder / "scenes.yaml").write_text(yaml.safe_dump(SCENES))
    (folder / "images.yaml").write_text(yaml.safe_dump(IMAGES))
    data = write_dataset(folder, "csv")
    write_dataset(folder, "csv", split="validation")
    commands = {
        "scenes": (train_script.main, ["--config", str(folder / "scenes.yaml")]),
        "images": (main, ["train", str(data), "--config", str(folder / "images.yaml")]),
    }
    runs = {name: folder / f"run-{name}" for name in commands}
    for name, (run, arguments) in commands.items():
        assert run([*arguments, "--out", str(runs[name])]) == 0
    return commands, runs


@pytest.mark.parametrize("name", ["scenes", "images"])
class TestBothStages:
    def test_one_command_trains_and_calibrates_both(self, commands, name):
        folder = commands[1][name]
        detector = centerdet.load(folder / "best.safetensors", threshold=0.0)
        assert list(detector.metadata)[-1] == ("refinement" if name == "scenes" else "second_stage")
        assert {"validation", "calibration", "second_stage"} <= detector.metadata.keys()
        assert detector.second_stage.network.in_channels == (3 if detector.network.config.noise_level else 2)
        assert detector.detect(VALIDATION[0][0]) is not None
        lines = entries(folder / "second_stage")
        assert len([line for line in lines if "loss" in line]) == 3
        assert len([line for line in lines if "validation" in line]) == 2
        assert set(lines[0]["loss"]) == {"total", "corners", "now", "after"}

    @pytest.mark.parametrize("stage", ["first", "second"])
    def test_stopped_in_a_stage_it_continues_exactly(self, commands, name, stage, tmp_path, monkeypatch, capsys):
        (run, arguments), whole = commands[0][name], commands[1][name]
        if stage == "first":
            signal_at_step(monkeypatch, 2)
        else:
            signal_in_block(monkeypatch, 1)
        command = [*arguments, "--out", str(tmp_path / "run")]
        assert run(command) == 130
        where = "stopped after step 3 of 4" if stage == "first" else "stopped in block 2 of 3 of the second stage"
        assert where in capsys.readouterr().err
        assert run([*command, "--resume"]) == 0
        assert_same_result(tmp_path / "run", whole)

    def test_a_finished_run_stays_as_it_is(self, commands, name):
        (run, arguments), folder = commands[0][name], commands[1][name]
        before = contents(folder)
        assert run([*arguments, "--out", str(folder), "--resume"]) == 0
        assert contents(folder) == before

    def test_a_run_that_ended_before_the_calibration_continues_there(self, commands, name, tmp_path, monkeypatch):
        """Killed right after the last block."""
        (run, arguments), whole = commands[0][name], commands[1][name]
        where = "synthetic_run" if name == "scenes" else "finish"
        calls = []

        def calibrate(*arguments, **options):
            calls.append(1)
            if len(calls) == 2:
                raise RuntimeError("power failure")
            return centerdet.calibrate(*arguments, **options)

        command = [*arguments, "--out", str(tmp_path / "run")]
        with monkeypatch.context() as patch:
            patch.setattr(f"centerdet.training.{where}.calibrate", calibrate)
            with pytest.raises(RuntimeError, match="power failure"):
                run(command)
        assert run([*command, "--resume"]) == 0
        assert_same_result(tmp_path / "run", whole)


class SameBlock:
    """One block, again and again."""

    def __init__(self, block):
        self.block = block

    def __getitem__(self, number):
        return self.block


def make_block(number):
    return centerdet.Batch(*(part.repeat(2, *[1] * (part.ndim - 1))[:6] for part in SmallBatches()[number]))


def fit(folder, *, recipe=RECIPE, detector=None, **options):
    blocks = [make_block(number) for number in range(recipe.training.blocks)]
    return fit_second_stage(detector or make_detector(), blocks, VALIDATION, recipe=recipe, directory=folder, **options)


@pytest.mark.parametrize("same_layers", [True, False])
def test_it_starts_from_another_stage_with_the_same_layers(tmp_path, same_layers):
    config = RECIPE.network if same_layers else replace(RECIPE.network, hidden=(12, 4))
    torch.manual_seed(7)
    other = SecondStage(3, config)
    recipe = replace(RECIPE, training=replace(RECIPE.training, blocks=1, learning_rate=1e-9, weight_decay=0))
    trained = fit(tmp_path, recipe=recipe, init_from=other).second_stage.network.get_parameter("even.weight")
    close = trained.shape == other.even.weight.shape and torch.allclose(trained, other.even.weight, atol=1e-4)
    assert close == same_layers


def test_curves_are_reported_by_their_own_names(tmp_path):
    seen = []
    fit(tmp_path, on_log=lambda step, values: seen.append((step, *values)))
    assert "second stage/loss/total" in seen[0]
    assert any("second stage/validation/AP@0.7" in names for names in seen)
    assert all(name.startswith("second stage/") for _, *names in seen for name in names)


@pytest.mark.parametrize("change", ["seed", "recipe", "first stage"])
def test_another_run_is_not_continued(tmp_path, change):
    fit(tmp_path)
    options = {
        "seed": {"seed": 1},
        "recipe": {"recipe": replace(RECIPE, starts=StartsConfig(starts=5))},
        "first stage": {"detector": make_detector(seed=1)},
    }[change]
    with pytest.raises(ValueError, match="settings differ"):
        fit(tmp_path, **options)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    fit(tmp_path)
    state = load_checkpoint(tmp_path / "checkpoint.pt", settings=None)
    del state["stage"]["odd.weight"]
    second_stage_trainer.save_checkpoint(tmp_path / "checkpoint.pt", state)
    with pytest.raises(ValueError, match="does not fit this second stage: .*odd.weight.*--out"):
        fit(tmp_path)


def test_two_trainings_do_not_share_a_folder(tmp_path):
    with lock_folder(tmp_path), pytest.raises(ValueError, match="another training writes to"):
        fit(tmp_path)


def test_a_new_run_does_not_continue_the_second_stage_of_an_old_one(commands, tmp_path, capsys):
    run, arguments = commands[0]["scenes"]
    fit(tmp_path / "run" / "second_stage")
    assert run([*arguments, "--out", str(tmp_path / "run")]) == 2
    assert "already holds second_stage" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["scenes", "images"])
def test_a_full_disk_before_the_first_checkpoint_of_the_second_stage_continues(
    commands, name, tmp_path, capsys, monkeypatch
):
    run, arguments = commands[0][name]

    def fail(*_):
        raise OSError(errno.ENOSPC, "disk full")

    with monkeypatch.context() as patch:
        patch.setattr(second_stage_trainer, "save_checkpoint", fail)
        assert run([*arguments, "--out", str(tmp_path)]) == 2
    assert f"disk full; the last checkpoint in {tmp_path} is intact: make" in capsys.readouterr().err
    assert run([*arguments, "--out", str(tmp_path), "--resume"]) == 0


def test_other_first_stages_are_loaded_before_the_first_step(commands, tmp_path, capsys):
    run, arguments = commands[0]["scenes"]
    missing = ["--set", 'second_stage.other_first_stages=["missing.safetensors"]']
    assert run([*arguments, *missing, "--out", str(tmp_path / "run")]) == 2
    assert "missing.safetensors" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(tmp_path, monkeypatch):
    train, blocks = second_stage_trainer.second_stage_loss, []

    def loss(*arguments):
        terms = train(*arguments)
        blocks.append(1)
        return terms._replace(total=terms.total * (torch.nan if len(blocks) > 7 else 1))

    monkeypatch.setattr(second_stage_trainer, "second_stage_loss", loss)
    with pytest.raises(FloatingPointError, match="the loss of step 7 is nan; .*learning_rate"):
        fit(tmp_path)
    assert load_checkpoint(tmp_path / "checkpoint.pt", settings=None)["block"] == 1


def test_the_promised_number_of_steps_is_done(tmp_path):
    """The learning rate falls to zero with the last step, and not before."""
    fit(tmp_path)
    state = load_checkpoint(tmp_path / "checkpoint.pt", settings=None)
    assert state["step"] == RECIPE.training.blocks * RECIPE.steps_per_block
    rates = [entry["learning_rate"] for entry in entries(tmp_path) if "loss" in entry]
    assert rates[-1] == pytest.approx(0, abs=1e-9)
    assert rates[-2] > 1e-5


def test_it_ends_with_its_time(tmp_path):
    """In the middle of a block, with a learning rate of zero; a resumed run changes nothing."""
    recipe = replace(RECIPE, training=replace(RECIPE.training, blocks=10**6, validate_every=10**6))
    options = {"recipe": recipe, "directory": tmp_path, "max_minutes": 0.03}
    blocks = SameBlock(make_block(0))
    fit_second_stage(make_detector(), blocks, VALIDATION, **options)
    state, lines = load_checkpoint(tmp_path / "checkpoint.pt", settings=None), entries(tmp_path)
    assert 1 < state["step"] < recipe.training.blocks
    assert state["schedule"]["seconds"] < 20
    assert [line["step"] for line in lines if "validation" in line] == [state["step"]]
    assert lines[-2]["learning_rate"] == pytest.approx(0, abs=1e-9)
    before = contents(tmp_path)
    fit_second_stage(make_detector(), blocks, VALIDATION, **options)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["scenes", "images"])
def test_both_stages_and_all_calibrations_share_the_minutes(commands, tmp_path, name, capsys, monkeypatch):
    run, arguments = commands[0][name]
    many = ["training.steps=100000", "training.validate_every=100000", "second_stage.training.blocks=100000"]
    many += ["validation.calibration_scenes=100000"] if name == "scenes" else []
    command = [*arguments, *(part for value in many for part in ("--set", value)), "--max-minutes", "0.02"]
    monkeypatch.setitem(limit_time.__kwdefaults__, "at_least", 4)
    assert run([*command, "--out", str(tmp_path / "run")]) == 0
    detector = centerdet.load(tmp_path / "run" / "best.safetensors")
    assert detector.second_stage is not None
    assert detector.metadata["second_stage"]["samples"] < 100
    for folder in (tmp_path / "run", tmp_path / "run" / "second_stage"):
        state = load_checkpoint(folder / "checkpoint.pt", settings=None)
        assert 1 <= state["step"] < 1000
        assert state["schedule"]["seconds"] < 15
    assert "second stage: 0:00:" in capsys.readouterr().err


def test_a_stopped_training_with_a_time_limit_continues_with_the_time_that_is_left(tmp_path, monkeypatch):
    signal_in_block(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, max_minutes=60)
    before = load_checkpoint(tmp_path / "checkpoint.pt", settings=None)
    assert before["block"] == 1
    fit(tmp_path, max_minutes=60)
    after = load_checkpoint(tmp_path / "checkpoint.pt", settings=None)
    assert after["schedule"]["seconds"] > before["schedule"]["seconds"] > 0
    assert after["block"] == 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"training": {"batch_shares": [0]}}, "batch_shares must fall and be at least 1"),
        ({"training": {"batch_shares": [2, 3]}}, "batch_shares must fall"),
        ({"training": {"blocks": 0}}, "steps, blocks and intervals must be at least 1"),
        ({"training": {"learning_rate": 0}}, "learning_rate and clip_norm must be above 0"),
        ({"images_per_block": 2, "starts": {"starts": 3}}, "a block must hold the 64 rows of a batch, got 6 starts"),
        ({"images_per_block": 0}, "images_per_block must lie in 1..65,536"),
        ({"object_probability": 1.5}, r"object_probability must lie in \[0, 1\]"),
        ({"hypotheses": {"score_level": 4}}, "score_level must be an index of the 4 quality_levels"),
        ({"starts": {"peak_shares": [0.5, 0.4]}}, "peak_shares sum to 1"),
        ({"starts": {"half_turns": 0.8, "quarter_turns": 0.4}}, r"fractions must lie in \[0, 1\]"),
        ({"starts": {"shift": -1}}, "jitter must be at least 0"),
        ({"loss": {"beta": 0}}, "all else above 0"),
    ],
)
def test_a_wrong_recipe_is_refused_before_training(values, message):
    with pytest.raises(ValueError, match=message):
        parse(Config, {"second_stage": values})
