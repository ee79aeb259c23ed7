"""Moves keep what they should keep."""

import math

import numpy as np
import pytest

from centerdet.refine.moves import _hold_flexible, _keep_edge, _keep_vertex, propose
from centerdet.refine.outlines import Outline, make_vertices
from centerdet.refine.prior import ScenePrior

SHIP = make_vertices(ScenePrior())


def vertex(outline, index):
    u = (SHIP.u[index] + outline.shape * SHIP.u_std[index]) * outline.width
    v = (SHIP.v[index] + outline.shape * SHIP.v_std[index]) * outline.height
    cos, sin = math.cos(outline.yaw), math.sin(outline.yaw)
    return np.array([outline.x + u * cos + v * sin, outline.y - u * sin + v * cos])


def random_outline(rng):
    return Outline(100.0, 90.0, rng.uniform(-3, 3), 25.0, 40.0, rng.normal())


@pytest.mark.parametrize("index", range(4))
def test_another_width_can_keep_an_edge(index):
    rng = np.random.default_rng(8)
    for _ in range(20):
        now = random_outline(rng)
        new = _keep_edge(now, rng.uniform(-4, 4), SHIP, index)
        assert new.width != now.width
        edges = [vertex(outline, (index + 1) % 4) - vertex(outline, index) for outline in (now, new)]
        np.testing.assert_allclose(edges[1], edges[0], atol=1e-9)


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("integer_coordinates", [False, True])
def test_a_turn_can_keep_a_vertex(index, integer_coordinates):
    rng = np.random.default_rng(9)
    for _ in range(20):
        now = random_outline(rng)._replace(shape=0.0)
        turned = now._replace(yaw=now.yaw + 0.2, height=35.0)
        new = _keep_vertex(now, turned, SHIP, index, integer_coordinates)
        moved = np.abs(vertex(new, index) - vertex(now, index)).max()
        if integer_coordinates:
            assert new.x.is_integer()
            assert new.y.is_integer()
        if not integer_coordinates or (index != 2 and (new.x, new.y) != (now.x, now.y)):
            assert moved < 1e-9  # the notch, index 2, is too near the centre to make up for rounding
        else:
            assert moved < 8


def test_the_notch_can_keep_its_distance_from_the_nose():
    now = Outline(100.0, 90.0, 0.3, 25.0, 40.0, 0.4)
    distances = set()
    for _ in range(20):
        new = _hold_flexible(now, now._replace(height=44.0), SHIP, 0)
        distances.add(round(float(np.linalg.norm(vertex(new, 2) - vertex(new, 0))), 6))
    assert round(float(np.linalg.norm(vertex(now, 2) - vertex(now, 0))), 6) in distances
    assert len(distances) == 2  # with, and without


def test_moves_of_integer_outlines_stay_integer_and_change_something():
    now = Outline(100.0, 90.0, 0.3, 25.0, 40.0, 0.4)
    for _ in range(500):
        new = propose(now, SHIP, True)
        assert new != now
        assert new.x.is_integer()
        assert new.y.is_integer()
        assert new.width.is_integer()
