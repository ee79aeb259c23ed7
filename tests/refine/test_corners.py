"""Outlines are built from edges, in the right direction, wherever they are."""

import numpy as np
import pytest

from centerdet.refine.bresenham import PAD
from centerdet.refine.corners import outlines_from_edges
from centerdet.refine.edges import crossing, likely_edges, ray_to
from centerdet.refine.outlines import Bounds, Outline, make_vertices, mask_outline
from centerdet.refine.prior import ScenePrior

SHIP = make_vertices(ScenePrior())
BOUNDS = Bounds(18.0, 36.0, 10.0, 189.0, 10.0, 189.0, 1.5, 0.2)


@pytest.mark.parametrize("yaw", [-2.5, -0.4, 0.9, 2.2])
def test_an_outline_is_built_from_its_edges(yaw):
    truth = Outline(100.0, 90.0, yaw, 26.0, 40.0, 0.0)
    llr = np.full((200 + 2 * PAD, 200 + 2 * PAD), -0.5, np.float32)
    drawn = np.ones_like(llr)
    mask_outline(drawn, truth, SHIP, 1)
    llr[drawn == 0] = 0.5
    mask_outline(drawn := np.ones_like(llr), truth, SHIP, 0)
    y, x = np.nonzero(drawn[PAD:-PAD, PAD:-PAD] == 0)
    points = np.stack([x, y], axis=1).astype(np.int64)[::5].copy()  # as the search: compiled once
    rows = outlines_from_edges(llr, likely_edges(llr, points, 40), SHIP, BOUNDS, 50)
    errors = rows[:, :5] - truth[:5]
    errors[:, 2] = np.sin(errors[:, 2] / 2) * 2
    assert (np.abs(errors) < [4, 4, 0.25, 5, 7]).all(axis=1).any()


def test_edges_cross_where_their_lines_do():
    edge, other = np.array([0, 0, 10, 10]), np.array([20, 0, 20, 5])
    assert crossing(edge, other) == (True, 20.0, 20.0)
    assert not crossing(edge, np.array([1, 0, 11, 10]))[0]  # parallel


def test_a_ray_points_from_a_vertex_to_the_far_end():
    edge = np.array([10, 0, 30, 0])
    assert ray_to(8.0, 0.0, edge) == (0.0, 22.0)
    angle, length = ray_to(33.0, 0.0, edge)
    assert abs(angle) == pytest.approx(np.pi)
    assert length == pytest.approx(23.0)
    assert ray_to(20.0, 0.0, edge).length == 0  # within the edge


def test_one_edge_is_kept_of_those_that_coincide():
    llr = np.full((100 + 2 * PAD, 100 + 2 * PAD), 1.0, np.float32)
    points = np.array([[10, 10], [20, 10], [30, 10], [40, 10]])
    assert len(likely_edges(llr, points, 40)) == 1
