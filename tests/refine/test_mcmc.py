"""Moves of the chains keep what they should keep, and a chain finds an outline that is there."""

import math

import numpy as np
import pytest

from centerdet.refine.bresenham import PAD
from centerdet.refine.mcmc import _keep_edge, _keep_vertex, chain
from centerdet.refine.outlines import Bounds, Outline, OutlinePrior, Vertices, mask_outline
from centerdet.refine.prior import ScenePrior

SHIP = Vertices(*np.array(ScenePrior().outline).T.copy(), *np.array(ScenePrior().vertex_std).T.copy())


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
def test_a_turn_can_keep_a_vertex(index):
    now = random_outline(np.random.default_rng(9))
    turned = now._replace(yaw=now.yaw + 0.2, height=35.0)
    np.testing.assert_allclose(vertex(_keep_vertex(now, turned, SHIP, index), index), vertex(now, index), atol=1e-9)


def test_a_chain_finds_an_outline_nearby():
    truth = Outline(100.0, 90.0, 0.7, 26.0, 40.0, 0.5)
    llr = np.full((200 + 2 * PAD, 200 + 2 * PAD), -0.3, np.float32)
    drawn = np.ones_like(llr)
    mask_outline(drawn, truth, SHIP, 0)
    llr[drawn == 0] = 0.6
    start = Outline(102.0, 89.0, 0.75, 24.0, 43.0, 0.0)
    bounds = Bounds(18.0, 36.0, 10.0, 189.0, 10.0, 189.0, 1.5, 0.2)
    prior = OutlinePrior(start, Outline(2.5, 2.5, 0.12, 3.0, 4.0, 1.0), bounds)
    result = chain(llr, start, SHIP, prior, True, 4000, 3.0, 0)
    np.testing.assert_allclose(result.best[:5], truth[:5], atol=1.6)
    assert result.best.x.is_integer()
    assert result.best.width.is_integer()
    assert result == chain(llr, start, SHIP, prior, True, 4000, 3.0, 0)
