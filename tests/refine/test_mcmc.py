"""A chain finds an outline that is there, and the posterior mean is near it."""

import numpy as np

from centerdet.refine.bresenham import PAD
from centerdet.refine.mcmc import anneal, posterior_mean
from centerdet.refine.outlines import Bounds, Outline, OutlinePrior, make_vertices, mask_outline
from centerdet.refine.prior import ScenePrior

SHIP = make_vertices(ScenePrior())
TRUTH = Outline(100.0, 90.0, 0.7, 26.0, 40.0, 0.5)
START = Outline(102.0, 89.0, 0.75, 24.0, 43.0, 0.0)
BOUNDS = Bounds(18.0, 36.0, 10.0, 189.0, 10.0, 189.0, 1.5, 0.2)
PRIOR = OutlinePrior(START, Outline(2.5, 2.5, 0.12, 3.0, 4.0, 1.0), BOUNDS)


def clean_map():
    llr = np.full((200 + 2 * PAD, 200 + 2 * PAD), -0.3, np.float32)
    drawn = np.ones_like(llr)
    mask_outline(drawn, TRUTH, SHIP, 0)
    llr[drawn == 0] = 0.6
    return llr


def test_a_chain_finds_an_outline_nearby():
    llr = clean_map()
    results = [anneal(llr, START, SHIP, PRIOR, True, 2000, 1.5, seed) for seed in range(3)]
    best = max(results).outline
    assert abs(np.sin((best.yaw - TRUTH.yaw) / 2)) < 0.05
    np.testing.assert_allclose(best._replace(yaw=TRUTH.yaw)[:5], TRUTH[:5], atol=1.6)
    assert best.x.is_integer()
    assert best.width.is_integer()
    assert results[0] == anneal(llr, START, SHIP, PRIOR, True, 2000, 1.5, 0)


def test_the_posterior_mean_is_near_the_outline_and_needs_no_luck():
    mean = posterior_mean(clean_map(), TRUTH, SHIP, PRIOR, True, 1500)
    np.testing.assert_allclose(mean[:5], TRUTH[:5], atol=1.0)
    assert abs(mean.yaw - TRUTH.yaw) < 0.03
