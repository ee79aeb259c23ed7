"""Outlines have the generator's pixels, and their likelihood counts each pixel once."""

import numpy as np
import pytest
from skimage.draw import polygon_perimeter

from centerdet.refine.bresenham import PAD, segment_pixels
from centerdet.refine.outlines import (
    IMPOSSIBLE,
    Bounds,
    Outline,
    OutlinePrior,
    Vertices,
    count_missed,
    log_likelihood,
    log_prior,
    make_vertices,
    mask_outline,
)
from centerdet.refine.prior import ScenePrior
from centerdet.synthetic.scenes import outline

SHIP = make_vertices(ScenePrior())
BOUNDS = Bounds(18.0, 36.0, 10.0, 189.0, 10.0, 189.0, 1.5, 0.2)
SPREAD = Outline(2.5, 2.5, 0.12, 3.0, 4.0, 1.0)


def test_outlines_are_those_of_the_generator():
    rng = np.random.default_rng(1)
    for _ in range(500):
        shape = rng.normal()
        box = np.array([*rng.integers(60, 140, 2), rng.uniform(-4, 4), rng.integers(18, 37), 0])
        box[4] = box[3] * rng.normal(1.5, 0.2)
        corners = outline(box[None], np.array([1 / 3 + 0.1 * shape]))[0]
        expected = np.zeros((200, 200), bool)
        x, y = polygon_perimeter(corners[:, 0], corners[:, 1])
        expected[y, x] = True
        llr = np.ones((200 + 2 * PAD, 200 + 2 * PAD), np.float32)
        mask_outline(llr, Outline(*box.tolist(), shape), SHIP, 0)
        np.testing.assert_array_equal(llr[PAD:-PAD, PAD:-PAD] == 0, expected)


def test_the_likelihood_adds_up_the_edges_and_each_corner_once():
    llr = np.random.default_rng(2).normal(size=(100 + 2 * PAD, 100 + 2 * PAD)).astype(np.float32)
    triangle = Vertices(np.array([0, -0.5, 0.5]), np.array([0.5, -0.5, -0.5]), np.zeros(3), np.zeros(3), -1)
    corners = [(50, 70), (30, 30), (70, 30)]
    pixels = [
        pixel
        for a, b in zip(corners, corners[1:] + corners[:1], strict=True)
        for pixel in segment_pixels(*a, *b)[:-1].tolist()
    ]
    expected = sum(llr[y + PAD, x + PAD] for x, y in pixels)
    actual = log_likelihood(llr, Outline(50.0, 50.0, 0.0, 40.0, 40.0, 0.0), triangle)
    assert actual == pytest.approx(expected, abs=1e-3)


def test_an_outline_far_outside_is_impossible():
    llr = np.zeros((100 + 2 * PAD, 100 + 2 * PAD), np.float32)
    assert log_likelihood(llr, Outline(50.0, 190.0, 0.0, 40.0, 40.0, 0.0), SHIP) == IMPOSSIBLE


def test_the_prior_is_highest_at_a_typical_outline_and_does_not_see_whole_turns():
    guess = Outline(100.0, 90.0, 3.1, 24.0, 36.0, 0.0)
    prior = OutlinePrior(guess, SPREAD, BOUNDS)
    best = log_prior(guess, prior)
    for change in ({"x": 103.0}, {"y": 88.0}, {"yaw": 2.9}, {"width": 27.0}, {"height": 30.0}, {"shape": 1.0}):
        assert log_prior(guess._replace(**change), prior) < best
    assert log_prior(guess._replace(yaw=3.1 - 2 * np.pi), prior) == pytest.approx(best)


@pytest.mark.parametrize("change", [{"x": 9.0}, {"y": 190.0}, {"width": 17.0}, {"height": 3.0}, {"shape": 4.0}])
def test_the_prior_excludes_what_the_scenes_do_not_hold(change):
    guess = Outline(100.0, 90.0, 3.1, 24.0, 36.0, 0.0)
    assert log_prior(guess._replace(**change), OutlinePrior(guess, SPREAD, BOUNDS)) == IMPOSSIBLE


def test_bright_pixels_beside_an_outline_are_counted_and_others_are_not():
    box = Outline(100.0, 90.0, 0.7, 26.0, 40.0, 0.5)
    llr = np.zeros((200 + 2 * PAD, 200 + 2 * PAD), np.float32)
    on = np.ones_like(llr)
    mask_outline(on, box, SHIP, 0)
    near = np.ones_like(llr)
    mask_outline(near, box, SHIP, 2)
    rows, columns = np.nonzero(np.ones((200, 200)))
    bright = np.stack([columns, rows], axis=1).astype(np.int64)
    assert count_missed(llr, bright, box, SHIP, 2) == 0  # everything is explained
    llr[PAD:-PAD, PAD:-PAD] = 6.0
    assert count_missed(llr, bright, box, SHIP, 2) == ((on == 1) & (near == 0)).sum()
