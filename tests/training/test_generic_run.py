"""Training of the generic weights."""

import json

import centerdet
from centerdet.training import generic_run
from centerdet.training.config import read_images_config
from centerdet.training.generic_run import train_generic
from tests.helpers import ROOT

SMALL = [
    *("network.channels=[8,8]", "network.num_blocks=[1,1]"),
    *("training.steps=4", "training.warmup_steps=1", "training.validate_every=2", "training.checkpoint_every=2"),
]


def test_a_run_leaves_a_calibrated_detector_and_does_not_repeat_it(tmp_path, monkeypatch):
    monkeypatch.setattr(generic_run, "VALIDATION_SCENES", 6)
    config = read_images_config(ROOT / "configs" / "generic.yaml", [*SMALL, "second_stage=null"])
    report = train_generic(config, directory=tmp_path)
    detector = centerdet.load(tmp_path / "best.safetensors")
    assert report.samples == 6
    assert detector.network.config.normalization == "local"
    assert detector.codec.config.size_unit == config.size_unit == 40
    assert detector.metadata["calibration"] == report.to_dict()
    assert detector.second_stage is None
    before = (tmp_path / "best.safetensors").read_bytes()
    assert train_generic(config, directory=tmp_path, resume=True) == report
    assert (tmp_path / "best.safetensors").read_bytes() == before


def test_a_second_stage_is_trained_to_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(generic_run, "VALIDATION_SCENES", 6)
    second = {
        "network": {"rows": 16, "columns": 16, "channels": [4, 4, 4], "depths": [1, 1, 1], "hidden": [8, 8]},
        "images_per_block": 6,
        "starts": {"starts": 10},
        "training": {"blocks": 1, "batch_shares": [4, 2], "warmup_steps": 1, "validate_every": 1},
    }
    config = read_images_config(ROOT / "configs" / "generic.yaml", [*SMALL, f"second_stage={json.dumps(second)}"])
    train_generic(config, directory=tmp_path)
    assert centerdet.load(tmp_path / "best.safetensors").second_stage is not None
    logged = [json.loads(line) for line in (tmp_path / "second_stage" / "metrics.jsonl").read_text().splitlines()]
    assert logged[-1]["step"] == config.second_stage.steps_per_block
