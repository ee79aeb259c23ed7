"""Values of a config that are set on the command line."""

import pytest

import centerdet
from centerdet.cli.main import main
from centerdet.training.config import read_config, read_images_config
from centerdet.training.overrides import apply_overrides
from tests.helpers import ROOT


def test_values_are_set_in_a_copy():
    values = {"training": {"steps": 5, "seed": 1}}
    changed = apply_overrides(
        values, ["training.steps=2000", " training.learning_rate = 1e-3", "name=fast", "x.y=[8, 16]"]
    )
    assert changed == {
        "training": {"steps": 2000, "seed": 1, "learning_rate": 0.001},
        "name": "fast",
        "x": {"y": [8, 16]},
    }
    assert values == {"training": {"steps": 5, "seed": 1}}
    assert apply_overrides(None, ["a=null"]) == {"a": None}
    assert apply_overrides(None, []) is None


def test_a_file_and_the_defaults_keep_their_other_values(tmp_path):
    config = read_images_config(None, ["training.steps=2000", "augmentation.rotation=5"])
    default = centerdet.ImagesConfig()
    assert (config.training.steps, config.training.learning_rate) == (2000, default.training.learning_rate)
    assert (config.augmentation.rotation, config.augmentation.flips) == (5, True)
    assert read_images_config(None) == default
    path = tmp_path / "own.yaml"
    path.write_text("augmentation: {flips: true}\ntraining: {steps: 9}\n")
    config = read_images_config(path, ["augmentation.rotation=5", "batch_size=4"])
    assert (config.augmentation.scale, config.augmentation.flips, config.batch_size) == ((1.0, 1.0), True, 4)
    assert config.training.steps == 9
    assert read_config(ROOT / "configs" / "default.yaml", ["training.seed=7"]).training.seed == 7


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        (
            "training.stesp=3",
            "default settings with the given options: unknown key 'training.stesp'; did you mean 'steps'?",
        ),
        ("traning.steps=3", "unknown key 'traning'; did you mean 'training'?"),
        ("training.steps=many", "training.steps: Input should be a valid integer, got 'many'"),
        ("training.steps=0", "steps"),
        ("batch_size.steps=3", "unknown key 'batch_size.steps'|batch_size"),
        ("training.steps", "wanted SECTION.KEY=VALUE, as training.steps=2000, got 'training.steps'"),
        ("=3", "wanted SECTION.KEY=VALUE"),
        ("training.learning_rate=NaN", "only finite numbers"),
    ],
)
def test_typing_errors_are_named(override, complaint):
    with pytest.raises(ValueError, match=complaint):
        read_images_config(None, [override])


def test_a_value_is_no_section(tmp_path):
    (tmp_path / "own.yaml").write_text("batch_size: 4\n")
    message = r"own\.yaml with the given options: cannot set 'batch_size\.x=3': there is a value 4"
    with pytest.raises(ValueError, match=message):
        read_images_config(tmp_path / "own.yaml", ["batch_size.x=3"])


def test_an_error_of_a_limit_does_not_blame_another_option(capsys, tmp_path):
    data = str(ROOT / "examples" / "labels" / "csv" / "data.yaml")
    assert main(["train", data, "--out", str(tmp_path / "run"), "--max-minutes", "-1"]) == 2
    message = capsys.readouterr().err
    assert "max_minutes must be above 0" in message
    assert "--set" not in message
