"""Random shapes: their boxes enclose them, and the nose is where the rule says."""

import cv2
import numpy as np
import pytest
from shapely import Polygon

from centerdet.synthetic.generic import shapes
from centerdet.synthetic.generic.shapes import MIN_IMBALANCE, draw_shape

LENGTH = 100.0
KINDS = sorted({kind.__name__ for kind in shapes._KINDS})


def draw(kind, count=20):
    """The shapes of one kind, without the draws that were refused."""
    rng = np.random.default_rng(0)
    drawn = (getattr(shapes, kind)(rng, LENGTH) for _ in range(10 * count))
    return [shape for shape in drawn if shape is not None][:count]


def fill(shape, scale=4):
    """The pixels of a shape: row v, column u, from the box's corner, with a margin of ten pixels."""
    mask = np.zeros((int(shape.height * scale) + 20, int(shape.width * scale) + 20), np.uint8)
    corner = np.array([shape.width / 2, shape.height / 2])
    rings = [np.rint((ring + corner) * scale + 10).astype(np.int32) for ring in shape.rings]
    cv2.fillPoly(mask, rings, 1)
    return mask


@pytest.mark.parametrize("kind", KINDS)
def test_the_box_encloses_the_shape_exactly(kind):
    drawn = draw(kind)
    assert len(drawn) == 20
    for shape in drawn:
        assert max(shape.width, shape.height) == pytest.approx(LENGTH)
        size = np.array([shape.width, shape.height])
        np.testing.assert_allclose(shape.rings[0].max(0), size / 2, atol=0.6)
        np.testing.assert_allclose(shape.rings[0].min(0), -size / 2, atol=0.6)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "_marked"])
def test_the_nose_is_the_lighter_end(kind):
    for shape in draw(kind):
        rows = np.nonzero(fill(shape))[0]
        centroid = (rows.mean() - 10) / 4 - shape.height / 2  # px along the heading, from the middle
        assert centroid < -0.8 * MIN_IMBALANCE * shape.height


def test_shapes_with_equal_ends_have_a_mark_at_the_nose():
    for shape in draw("_marked"):
        assert shape.mark is not None
        assert shape.mark[:, 1].mean() > 0.1 * shape.height
        assert (np.abs(shape.mark) <= np.array([shape.width, shape.height]) / 2).all()


@pytest.mark.parametrize("kind", ["_dart", "_egg", "_profile", "_strokes"])
def test_symmetric_shapes_are_mirror_images_of_themselves(kind):
    for shape in draw(kind):
        outline, mirrored = (Polygon(shape.rings[0] * (side, 1)) for side in (1, -1))
        assert outline.symmetric_difference(mirrored).area < 0.02 * outline.area


def test_shapes_of_all_kinds_occur_and_are_repeatable():
    def vertices(seed):
        return [len(draw_shape(np.random.default_rng(seed + index), 40).rings[0]) for index in range(30)]

    assert vertices(0) == vertices(0)
    assert len(set(vertices(0))) > 8
