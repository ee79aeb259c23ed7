"""The example that trains on drawn darts."""

from dataclasses import replace

import numpy as np

import centerdet
from centerdet.training.defaults import second_stage_recipe
from examples import darts


def test_it_trains_and_prints_reports_without_and_with_the_second_stage(tmp_path, capsys, monkeypatch):
    def few_images(blocks):
        return replace(second_stage_recipe(blocks), images_per_block=16)

    monkeypatch.setattr(darts, "second_stage_recipe", few_images)
    run = tmp_path / "run"
    few = ["--steps", "2", "--blocks", "1", "--validation", "6", "--num-samples", "6"]
    assert darts.main([*few, "--out", str(run), "--device", "cpu"]) == 0
    assert capsys.readouterr().out.count("AP@0.7") == 2
    detector = centerdet.load(run / "best.safetensors")
    assert detector.codec.config.size_unit == 30
    assert detector.second_stage is not None


def test_the_box_is_where_the_dart_is():
    rng = np.random.default_rng(1)
    for image, box in (darts.draw(rng) for _ in range(20)):
        if box is not None:
            cos, sin = np.cos(box.yaw), np.sin(box.yaw)
            along = np.linspace(-0.45, 0.45, 30) * box.height  # the middle line, which lies in the dart
            x, y = np.round([box.x + along * sin, box.y + along * cos]).astype(int)
            inside = (x >= 0) & (x < darts.WIDTH) & (y >= 0) & (y < darts.HEIGHT)
            assert abs(image[y[inside], x[inside]].mean() - 0.35) > 0.07
