import math

import numpy as np
import pytest

from centerdet.synthetic.ship import MARGIN, WIDTH_RANGE, draw_ship, draw_ships, outline


def test_the_outline_is_nose_left_notch_right():
    boxes = np.array([[100.0, 50.0, 0.0, 20.0, 30.0], [100.0, 50.0, math.pi / 2, 20.0, 30.0]])
    vertices = outline(boxes, np.array([1 / 3, 0.5]))
    assert vertices[0] == pytest.approx(np.array([[100, 65], [90, 35], [100, 45], [110, 35]]))  # the nose points down
    assert vertices[1] == pytest.approx(np.array([[115, 50], [85, 60], [100, 50], [85, 40]]))  # to the right


def test_ships_stay_within_the_documented_ranges():
    boxes, notch = draw_ships(np.random.default_rng(0), 2000, 200)
    rng = np.random.RandomState(0)
    single = np.array([draw_ship(rng, 200)[0].to_array() for _ in range(2000)])
    assert notch.shape == (2000,)
    assert (notch >= 0).all()
    for ships in (boxes, single):
        assert ships.shape == (2000, 5)
        assert (ships[:, :2].min(), ships[:, :2].max()) == (MARGIN, 199 - MARGIN)
        assert (ships[:, 3].min(), ships[:, 3].max()) == (WIDTH_RANGE[0], WIDTH_RANGE[1] - 1)
        assert ((ships[:, 2] >= 0) & (ships[:, 2] < 2 * math.pi)).all()
        assert (ships[:, 4] > 0).all()
        assert np.mean(ships[:, 4] / ships[:, 3]) == pytest.approx(1.5, abs=0.02)
