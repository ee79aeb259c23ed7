"""Lines explain a scene without object, and a clean line is found to the pixel."""

import numpy as np
import pytest

from centerdet.box import RotatedBox
from centerdet.refine.bresenham import PAD, Segment, mask_segment
from centerdet.refine.context import prepare_search, unexplained
from centerdet.refine.lines import find_segments, likely_pairs
from centerdet.refine.prior import ScenePrior
from centerdet.refine.settings import RefineSettings
from centerdet.synthetic.scenes import draw_benchmark

ANYWHERE = RotatedBox(100, 100, 1, 25, 38)


def test_lines_explain_a_scene_without_object():
    empty = [scene for scene in draw_benchmark(31, 40) if scene.box is None]
    assert len(empty) >= 5
    for scene in empty:
        context = prepare_search(scene.image.astype(np.float32), ANYWHERE, ScenePrior(), RefineSettings())
        found = find_segments(context.llr, context.pairs, 6, 14.0)
        assert len(found) <= 6
        assert len(unexplained(context.llr, context.bright)) <= 5 < len(context.bright) / 4


@pytest.mark.parametrize("ends", [(10, 20, 80, 50), (30, 90, 40, 12), (5, 5, 60, 5)])
def test_a_clean_line_is_found_to_the_pixel(ends):
    llr = np.full((100 + 2 * PAD, 100 + 2 * PAD), -1.0, np.float32)
    drawn = np.ones_like(llr)
    mask_segment(drawn, Segment(*ends))
    llr[drawn == 0] = 1.0
    x, y = np.nonzero(drawn[PAD:-PAD, PAD:-PAD].T == 0)
    bright = np.stack([x, y], axis=1).astype(np.int64)[::7]
    found = find_segments(llr, likely_pairs(llr, bright, 14.0), 6, 14.0)
    assert len(found) == 1
    assert sorted([tuple(found[0, :2]), tuple(found[0, 2:])]) == sorted([ends[:2], ends[2:]])
