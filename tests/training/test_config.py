"""Configs: strict reading, with errors that name key, value and remedy."""

import pytest
import yaml
from pydantic import TypeAdapter

from centerdet.model.centernet import NetworkConfig
from centerdet.strict_yaml import parse
from centerdet.synthetic.batches import Phase
from centerdet.training.config import Config, ImagesConfig, TrainingConfig, read_config, read_images_config
from tests.helpers import ROOT

CONFIGS = ROOT / "configs"
SYNTHETIC = {path.stem for path in CONFIGS.glob("*.yaml")} - {"images", "generic"}


@pytest.mark.parametrize("name", sorted(SYNTHETIC))
def test_configs_are_valid_and_survive_a_round_trip(name):
    config = read_config(CONFIGS / f"{name}.yaml")
    assert parse(Config, config.to_dict()) == config
    assert parse(Config, yaml.safe_load(yaml.safe_dump(config.to_dict()))) == config


@pytest.mark.parametrize("name", ["images", "generic"])
def test_configs_for_images_are_valid_and_survive_a_round_trip(name):
    config = read_images_config(CONFIGS / f"{name}.yaml")
    assert (config == ImagesConfig()) == (name == "images")  # which holds the defaults
    values = TypeAdapter(ImagesConfig).dump_python(config, mode="json")
    assert parse(ImagesConfig, yaml.safe_load(yaml.safe_dump(values))) == config


def test_the_configs_exist():
    assert {"default", "quick", "smoke"} <= SYNTHETIC


def test_an_empty_file_means_the_defaults(tmp_path):
    (tmp_path / "empty.yaml").write_text("")
    assert read_config(tmp_path / "empty.yaml") == Config()


def test_lists_become_tuples_and_whole_numbers_floats():
    values = {"network": {"channels": [8], "num_blocks": [1]}, "curriculum": {"phases": [{"end_fraction": 1}]}}
    config = parse(Config, values)
    assert config.network.channels == (8,)
    assert config.curriculum.phases == (Phase(end_fraction=1.0),)
    assert isinstance(config.curriculum.phases[0].end_fraction, float)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"val": {}}, "unknown key 'val'; did you mean 'validation'"),
        ({"netwrk": {}}, "unknown key 'netwrk'; did you mean 'network'"),
        ({"network": {"channel": [1]}}, "unknown key 'network.channel'; did you mean 'channels'"),
        ({"training": {"zzz": 1}}, "unknown key 'training.zzz'; known are learning_rate, .*seed, steps"),
        (
            {"curriculum": {"phases": [{"end_fractoin": 1.0}]}},
            "unknown key 'curriculum.phases.0.end_fractoin'; did you mean 'end_fraction'",
        ),
        ({"curriculum": {"phases": [7]}}, "curriculum.phases.0 must hold 'key: value' lines, got 7"),
        ({"network": None}, "network must hold 'key: value' lines, got None"),
        ([], "the file must hold 'key: value' lines"),
        ({"training": {"steps": "100"}}, "training.steps: .*valid integer, got '100'"),
        ({"training": {"steps": True}}, "training.steps: .*valid integer, got True"),
        ({"training": {"steps": 1.5}}, "training.steps: .*integer"),
        ({"training": {"learning_rate": "1e-3"}}, "training.learning_rate: .*number, got '1e-3'"),
        ({"training": {"learning_rate": float("nan")}}, "only finite numbers"),
        ({"training": {"precision": "fp8"}}, "training.precision: .*'bfloat16', got 'fp8'"),
        ({"training": {"steps": 0}}, "training: steps, blocks and intervals must be at least 1"),
        ({"training": {"learning_rate": 0}}, "training: learning_rate and clip_norm must be above 0"),
        ({"network": {"channels": "many"}}, "network.channels: .*array, got 'many'"),
        ({"validation": {"scenes": 0}}, "validation needs from 1 to 1,000,000 scenes"),
        ({"scenes": {"image_size": 100}}, "image_size must be at least 200"),
        ({"scenes": {"noise_level": 0.9}}, "^network.noise_level must be at least scenes.noise_level"),
        ({"training": {"seed": 2**64}}, "seed"),
        ({"curriculum": {"phases": [{"end_fraction": 1.0, "num_lines": -1}]}}, "num_lines must lie in 0..1000"),
        ({"loss": {"min_heatmap": 9.0}}, "min_heatmap must lie"),
        ({"training": {"seed": object()}}, "only finite numbers"),
    ],
)
def test_invalid_values_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        parse(Config, values)


@pytest.mark.parametrize(
    "arguments",
    [
        {"steps": 0},
        {"warmup_steps": -1},
        {"learning_rate": 0.0},
        {"ema_decay": 1.0},
        {"clip_norm": 0.0},
        {"seed": 2**63},
    ],
)
def test_impossible_training_settings_are_refused(arguments):
    with pytest.raises(ValueError, match="must be|must lie|at least"):
        TrainingConfig(**arguments)


def test_unreadable_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match="cannot read .*missing.yaml"):
        read_config(tmp_path / "missing.yaml")
    for name, content in {
        "broken": b"a: [1",
        "binary": b"\xff\xfe\x00",
        "deep": b"[" * 3000,
        "double": b"training: {steps: 5}\nloss: {alpha: 1.0}\ntraining: {seed: 1}",
        "code": b"!!python/object/apply:os.abort []",
    }.items():
        path = tmp_path / f"{name}.yaml"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"cannot read .*{name}.yaml"):
            read_config(path)
    (tmp_path / "typo.yaml").write_text("loss: {alfa: 2.0}")
    with pytest.raises(ValueError, match=r"typo.yaml: unknown key 'loss.alfa'; did you mean 'alpha'"):
        read_config(tmp_path / "typo.yaml")


def test_a_section_of_an_images_config_keeps_the_defaults_of_its_other_keys(tmp_path):
    path = tmp_path / "images.yaml"
    path.write_text(
        "network: {channels: [8], num_blocks: [1]}\ntraining: {warmup_steps: 1}\naugmentation: {flips: true}\n"
    )
    config = read_images_config(path)
    assert config.network.noise_level is None
    assert (type(config.network), type(config.training)) == (NetworkConfig, TrainingConfig)
    assert (config.training.steps, config.training.learning_rate) == (6000, 0.004)
    assert (config.augmentation.flips, config.augmentation.rotation) == (True, 0)
