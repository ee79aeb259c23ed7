"""The example that trains on drawn darts."""

import numpy as np

import centerdet
from examples import darts


def test_it_trains_and_prints_a_report(tmp_path, capsys):
    run = tmp_path / "run"
    few = ["--steps", "2", "--validation", "6", "--num-samples", "6"]
    assert darts.main([*few, "--out", str(run), "--device", "cpu"]) == 0
    assert "AP@0.7" in capsys.readouterr().out
    assert centerdet.load(run / "best.safetensors").codec.config.size_unit == 30


def test_the_box_is_where_the_dart_is():
    rng = np.random.default_rng(1)
    for image, box in (darts.draw(rng) for _ in range(20)):
        if box is not None:
            cos, sin = np.cos(box.yaw), np.sin(box.yaw)
            along = np.linspace(-0.45, 0.45, 30) * box.height  # the middle line, which lies in the dart
            x, y = np.round([box.x + along * sin, box.y + along * cos]).astype(int)
            inside = (x >= 0) & (x < darts.WIDTH) & (y >= 0) & (y < darts.HEIGHT)
            assert abs(image[y[inside], x[inside]].mean() - 0.35) > 0.07
