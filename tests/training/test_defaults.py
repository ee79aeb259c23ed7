"""Settings that follow from the data set when there is no config file."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from centerdet.data.dataset import load_training_splits
from centerdet.training.dataset_run import prepare_dataset_run
from centerdet.training.defaults import default_config
from tests.helpers import BOXES, ROOT, write_dataset


@pytest.mark.parametrize(
    ("images", "fine_tuning", "steps"),
    [(1, False, 2000), (300, False, 4000), (1000, False, 6000), (10**6, False, 20_000), (1000, True, 4500)],
)
def test_steps_grow_with_the_data_set(images, fine_tuning, steps):
    config = default_config(images, fine_tuning=fine_tuning)
    assert config.training.steps == steps
    assert config.training.validate_every == steps // 10
    assert config.training.learning_rate == 4e-3
    assert config.second_stage.training.blocks == steps // 150


def test_few_images_get_a_small_network_and_very_few_small_batches():
    few, many = (default_config(count, fine_tuning=False) for count in (49, 1000))
    assert (few.batch_size, many.batch_size) == (8, 16)
    assert few.network.channels < many.network.channels
    assert few.augmentation == many.augmentation


@pytest.mark.parametrize(("images", "steps"), [(49, 5900), (1000, 16_000), (2000, 20_000), (10**6, 20_000)])
def test_a_known_noise_level_gives_a_small_network_and_more_steps(images, steps):
    config = default_config(images, fine_tuning=False, has_noise_level=True)
    assert (config.training.steps, config.training.learning_rate) == (steps, 5e-3)
    assert config.network.channels == (16, 32, 64)
    tuned = [default_config(images, fine_tuning=True, has_noise_level=known).training for known in (False, True)]
    assert tuned[0] == tuned[1]


def test_the_noise_level_of_the_images_decides(tmp_path):
    path = write_dataset(tmp_path, "csv", shape=(96, 128))
    write_dataset(tmp_path, "csv", split="validation")
    plain = prepare_dataset_run(path).config
    rng = np.random.default_rng(0)
    for image in (tmp_path / "train" / "images").iterdir():
        cv2.imwrite(str(image), rng.integers(0, 180, (96, 128), np.uint8))
    noisy, given, unwanted = (
        prepare_dataset_run(path, overrides=overrides).config
        for overrides in ([], ["network.noise_level=0.75", "training.steps=300"], ["measure_noise_level=false"])
    )
    assert noisy.network.noise_level == pytest.approx(0.7, abs=0.01)
    assert (noisy.training.steps, noisy.training.learning_rate) == (5300, 5e-3)
    assert (given.training.steps, given.training.learning_rate) == (300, 5e-3)
    assert (given.network.noise_level, given.network.channels) == (0.75, (16, 32, 64))
    assert unwanted == replace(plain, measure_noise_level=False)


def test_set_changes_defaults_and_what_depends_on_the_steps_follows(tmp_path):
    path = write_dataset(tmp_path, "yolo")
    write_dataset(tmp_path, "yolo", split="validation")
    run = prepare_dataset_run(path, overrides=["training.steps=300", "augmentation.rotation=7"])
    assert (run.config.training.validate_every, run.config.training.warmup_steps) == (30, 15)
    assert run.config.second_stage.training.blocks == 2
    assert "second_stage: 2 blocks of 512 crops" in run.choices[3]
    assert prepare_dataset_run(path, overrides=["second_stage=null"]).config.second_stage is None
    assert (
        prepare_dataset_run(path, overrides=["second_stage.training.blocks=7"]).config.second_stage.training.blocks == 7
    )
    assert (run.config.augmentation.rotation, run.config.batch_size) == (7, 8)
    assert "crop_size: 96 px, from the boxes" in run.choices[1]
    own = prepare_dataset_run(path, config_path=ROOT / "configs" / "images.yaml", overrides=["crop_size=64"])
    assert own.config.training.steps == 6000
    assert own.config.second_stage is None
    assert "crop_size: 64 px; " in own.choices[1]
    assert "images.yaml" in own.choices[2]


def test_without_a_validation_split_some_training_images_validate(tmp_path):
    path = write_dataset(tmp_path, "csv", boxes=BOXES * 10)
    train, validation, taken = load_training_splits(path)
    assert taken
    names = [{item.path.name for item in part.items} for part in (train, validation)]
    assert not names[0] & names[1]
    assert len(names[0] | names[1]) == 40
    assert 3 <= len(names[1]) <= 15
    assert [item.path for item in load_training_splits(path)[1].items] == [item.path for item in validation.items]
    assert "taken from them by name" in prepare_dataset_run(path).choices[0]
    path.write_text(path.read_text() + "held_out: {validation: 0.5}\n")
    assert not load_training_splits(path)[2]
