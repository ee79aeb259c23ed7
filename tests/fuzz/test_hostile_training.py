"""Folders of trainings that hold other results or belong to another training: nothing in them is lost."""

import pytest

from tests.fuzz.conftest import snapshot
from tests.helpers import SmallBatches, state_of, train_tiny

COMMANDS = ("centerdet train data.yaml --config config.yaml --out run", "train.py --config scenes.yaml --out run")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", ["best.safetensors", "last.safetensors", "metrics.jsonl", "second_stage"])
def test_results_without_a_checkpoint_are_not_replaced(name, command, run, place):
    (place / "run").mkdir()
    (place / "run" / name).write_bytes(b"my results")
    (place / "run" / ".notes.tmp").write_bytes(b"no file of ours")
    before = snapshot(place)
    done = run(*command.split())
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert f"run already holds {name}, and no checkpoint to continue from; move it away" in done.err
    assert snapshot(place) == before


def test_only_temporary_files_of_our_naming_are_removed(run, place):
    (place / "run").mkdir()
    kept = [".notes.tmp", "0123456789abcdef.centerdet.tmp", ".a.0123456789ABCDEF.centerdet.tmp", ".a.centerdet.tmp"]
    for name in (*kept, ".best.safetensors.0123456789abcdef.centerdet.tmp"):
        (place / "run" / name).write_bytes(b"content")
    assert run(*COMMANDS[0].split()).code == 0
    left = {path.name for path in (place / "run").iterdir() if path.name.endswith(".tmp")}
    assert left == set(kept)


@pytest.mark.parametrize("command", [*COMMANDS, f"{COMMANDS[0]} --resume", f"{COMMANDS[1]} --resume"])
def test_a_second_training_into_one_folder_is_refused_while_the_first_one_runs(command, run, place):
    """This process trains; before its fourth step, a command in another process wants the same folder."""
    refused = []

    def interfere(step):
        if step == 3:
            before = snapshot(place)
            refused.append(run(*command.split()))
            assert snapshot(place) == before

    train_tiny(place / "run", source=SmallBatches(interfere))
    (done,) = refused
    assert done.code == 2
    assert done.err.startswith("error: another training writes to run now; wait for its end, or choose another folder")
    assert done.err.count("\n") == 1
    assert state_of(place / "run")["step"] == 6  # the first one goes on


def test_a_report_that_fails_costs_main_neither_the_scores_nor_the_json(run, place):
    arguments = "main.py --num-samples 3 --weights weights.safetensors --json scores.json --html-report page.html"
    done = run(*arguments.split(), file_size=3000)
    assert done.code == 2
    assert done.err.endswith("error: cannot write page.html: File too large\n")
    assert "network alone" in done.out
    assert '"ap"' in (place / "scores.json").read_text()
    assert not (place / "page.html").exists()
