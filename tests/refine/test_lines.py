"""Lines explain a scene without object, and a clean line is found to the pixel."""

import numpy as np
import pytest

from centerdet.box import RotatedBox
from centerdet.refine.bresenham import PAD, Segment, mask_segment
from centerdet.refine.context import prepare_search, unexplained
from centerdet.refine.guess import Guess
from centerdet.refine.lines import find_lines, improve_lines, likely_pairs, refit_lines
from centerdet.refine.prior import ScenePrior
from centerdet.refine.settings import RefineSettings
from centerdet.synthetic.scenes import draw_benchmark

ROUGH = RefineSettings(polish_steps=1)
ANYWHERE = Guess(RotatedBox(100, 100, 1, 25, 38), 0.5)


def test_lines_explain_a_scene_without_object():
    empty = [scene for scene in draw_benchmark(31, 40) if scene.box is None]
    assert len(empty) >= 5
    for scene in empty:
        context = prepare_search(scene.image.astype(np.float32), ANYWHERE, ScenePrior(), RefineSettings())
        assert len(context.lines.scores) <= 6
        assert len(unexplained(context.without_lines, context.bright)) <= 5 < len(context.bright) / 4


def test_annealing_for_longer_explains_more():
    context = prepare_search(next(draw_benchmark(33, 1)).image.astype(np.float32), ANYWHERE, ScenePrior(), ROUGH)
    better = context.llr.copy()
    lines = improve_lines(better, context.lines, context.pairs, 6, 14.0, 1000)
    assert len(lines.scores) <= 6
    assert better.sum() < context.without_lines.sum()


def test_lines_beside_an_outline_are_kept_and_the_lost_one_is_replaced():
    scene = next(draw_benchmark(33, 1))
    context = prepare_search(scene.image.astype(np.float32), ANYWHERE, ScenePrior(), RefineSettings())
    free = context.llr.copy()
    x0, y0, x1, y1 = context.lines.ends[0].tolist()
    for shift in (-1, 0, 1):  # hides the strongest line
        mask_segment(free, Segment(max(0, x0 + shift), y0, max(0, x1 + shift), y1))
        mask_segment(free, Segment(x0, max(0, y0 + shift), x1, max(0, y1 + shift)))
    lines = refit_lines(free, context.lines, context.pairs, 6, 14.0, 200)
    kept = {tuple(ends) for ends in lines.ends.tolist()}
    assert (x0, y0, x1, y1) not in kept
    assert len(kept & {tuple(ends) for ends in context.lines.ends.tolist()}) >= 3


@pytest.mark.parametrize("ends", [(10, 20, 80, 50), (30, 90, 40, 12), (5, 5, 60, 5)])
def test_a_clean_line_is_found_to_the_pixel(ends):
    llr = np.full((100 + 2 * PAD, 100 + 2 * PAD), -1.0, np.float32)
    drawn = np.ones_like(llr)
    mask_segment(drawn, Segment(*ends))
    llr[drawn == 0] = 1.0
    x, y = np.nonzero(drawn[PAD:-PAD, PAD:-PAD].T == 0)
    bright = np.stack([x, y], axis=1).astype(np.int64)[::7].copy()  # as the search: compiled once
    found = find_lines(llr, likely_pairs(llr, bright, 14.0), 6, 14.0, 500).ends
    assert len(found) == 1
    assert sorted([tuple(found[0, :2]), tuple(found[0, 2:])]) == sorted([ends[:2], ends[2:]])
