"""A box of 20 x 40 px about (100, 50), drawn upright and turned into each quadrant, with numbers worked out by hand.

In an image of 200 x 100 px, measured from its top left corner. The nose is the top of the box before the turn.
"""

import numpy as np

from centerdet.data.formats import READERS
from centerdet.data.labels import ErrorCollector, ImageFolder
from tests.helpers import assert_same_box

SIZE = (200, 100)  # width, height, px
TURNS = {  # degrees clockwise: the corner that was top left, and the middle of the nose
    0: ((90, 30), (100, 30)),
    30: ((101.33975, 27.67949), (110, 32.67949)),
    120: ((122.32051, 51.33975), (117.32051, 60)),
    210: ((98.66025, 72.32051), (90, 67.32051)),
    300: ((77.67949, 48.66025), (82.67949, 40)),
}


def corners(turn):
    """The corners, clockwise from the one that was top left: it is as far from the nose as the second, on a line."""
    (x, y), (nose_x, nose_y) = TURNS[turn]
    right = (2 * nose_x - x, 2 * nose_y - y)
    return [[x, y], list(right), [200 - x, 100 - y], [200 - right[0], 100 - right[1]]]


def assert_drawn(box, turn):
    """A box has the size, place and heading of the drawn one; its integers are the centres of pixels."""
    np.testing.assert_allclose((box.x, box.y, box.width, box.height), (99.5, 49.5, 20, 40), atol=1e-3)
    np.testing.assert_allclose(box.nose() + 0.5, TURNS[turn][1], atol=1e-3)


def read(format, labels, names, *, size=SIZE, has_heading=True):
    """Reads labels of images of one size; returns the boxes of each image, and the errors."""
    images = ImageFolder(folder=labels.parent / "images", sizes=dict.fromkeys(names, size), known_names=set(names))
    errors = ErrorCollector()
    found = READERS[format].read_labels(labels, images, has_heading=has_heading, errors=errors)
    return {name: [label.box for label in labels] for name, labels in found.items()}, errors.messages


def assert_round_trip(format, labels, box, *, has_heading=True, turns=1):
    """What was written for a.png, with a box, and for b.png, without one, is read back."""
    found, errors = read(format, labels, ["a.png", "b.png"], size=(320, 200), has_heading=has_heading)
    assert errors == []
    assert found["b.png"] == []
    assert_same_box(found["a.png"][0], box, turns=turns)
