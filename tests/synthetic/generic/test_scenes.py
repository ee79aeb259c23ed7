"""Generic scenes: boxes fit what is drawn, grounds are of many kinds, and batches are repeatable."""

import numpy as np
import pytest
import torch

from centerdet import RotatedBox
from centerdet.synthetic.generic import batches
from centerdet.synthetic.generic.batches import GenericBatches, validation_scenes
from centerdet.synthetic.generic.grounds import draw_ground
from centerdet.synthetic.generic.scenes import _draw_object, draw_scene
from centerdet.synthetic.generic.shapes import draw_shape


@pytest.mark.parametrize("seed", range(40))
def test_an_object_fills_its_box_and_nothing_else(seed):
    rng = np.random.default_rng(seed)
    shape = draw_shape(rng, rng.uniform(30, 90))
    box = RotatedBox(79.3, 81.8, rng.uniform(-3, 3), shape.width, shape.height)
    image = np.zeros((160, 160), np.float32)
    _draw_object(rng, image, shape, box, 3.0)
    rows, columns = np.nonzero(np.abs(image) > 0.3)
    sin, cos = np.sin(box.yaw), np.cos(box.yaw)
    across = (columns - box.x) * cos - (rows - box.y) * sin
    along = (columns - box.x) * sin + (rows - box.y) * cos
    for values, extent in ((across, box.width), (along, box.height)):
        # Strokes are up to 5 px wide, and reach further at pointed corners.
        assert np.abs(values).max() == pytest.approx(extent / 2, abs=6)


def test_scenes_are_images_with_at_most_one_box_whose_centre_is_inside():
    rng = np.random.default_rng(0)
    drawn = [draw_scene(rng, 96) for _ in range(300)]
    found = [box for _, box in drawn if box]
    assert 0.78 < len(found) / len(drawn) < 0.92
    assert all(0 <= box.x < 96 and 0 <= box.y < 96 for box in found)
    for image, _ in drawn:
        assert image.shape == (96, 96)
        assert image.dtype == np.float32
        assert 0 <= image.min() < image.max() <= 1


def test_easy_scenes_have_more_contrast_and_no_clutter():
    def spread(difficulty):
        rng = np.random.default_rng(1)
        images = [draw_scene(rng, 96, difficulty=difficulty, object_probability=0)[0] for _ in range(200)]
        return np.mean([np.abs(np.diff(image)).max() / image.std() for image in images])

    assert spread(1.0) > spread(0.0)  # lines and blobs


def test_grounds_are_standardised_and_of_many_kinds():
    rng = np.random.default_rng(2)
    grounds = [draw_ground(rng, 128) for _ in range(100)]
    flat = [ground for ground in grounds if not ground.any()]
    assert 3 < len(flat) < 30
    for ground in grounds:
        if ground.any():
            assert abs(ground.mean()) < 1e-3
            assert ground.std() == pytest.approx(1, abs=1e-2)
    steps = [np.abs(np.diff(ground)).mean() for ground in grounds if ground.any()]
    assert min(steps) < 0.1 < 0.5 < max(steps)  # smooth ones and rough ones


def test_batches_are_repeatable_and_grow_harder(monkeypatch):
    seen = []

    def record(rng, size, *, difficulty, object_probability=0.85):
        seen.append(difficulty)
        return draw_scene(rng, size, difficulty=difficulty)

    monkeypatch.setattr(batches, "draw_scene", record)
    monkeypatch.setattr(batches, "BATCH_PIXELS", 3 * 96**2)
    first, second = (GenericBatches(3, steps=100) for _ in range(2))
    torch.testing.assert_close(first[7], second[7], rtol=0, atol=0)
    assert not torch.equal(first[7].images, GenericBatches(4, steps=100)[7].images)
    assert set(seen[:3]) == {7 / 30}
    seen.clear()
    first.at_place(8, 60.0)
    assert set(seen) == {1.0}
    for step in range(20):
        batch = first[step]
        assert len(batch.images) == max(1, round(3 * 96**2 / batch.images.shape[-1] ** 2))
    with pytest.raises(IndexError, match=r"step must lie in 0\.\.99, got 100"):
        first[100]
    fixed = GenericBatches(3, steps=100, size=(2, 64))
    assert {fixed[step].images.shape for step in range(10)} == {(2, 1, 64, 64)}


def test_validation_scenes_are_not_those_of_training():
    (image, _), (again, _) = validation_scenes(5, 1)[0], validation_scenes(5, 1)[0]
    np.testing.assert_array_equal(image, again)
    training = draw_scene(np.random.Generator(np.random.SFC64((5, 0))), 160)[0]
    assert not np.array_equal(image, training)
