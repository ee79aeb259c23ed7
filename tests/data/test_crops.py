"""Training batches of crops."""

import tracemalloc

import numpy as np
import pytest

from centerdet import RotatedBox
from centerdet.data.crops import CropBatches, CropPhase, crop_around
from tests.helpers import BOXES, draw_box


def test_crops_hold_the_object():
    rng = np.random.default_rng(0)
    for _ in range(300):
        shape = tuple(rng.integers(70, 300, 2).tolist())
        box = RotatedBox(rng.uniform(0, shape[1] - 1), rng.uniform(0, shape[0] - 1), 0.4, 20, 30)
        image = np.zeros(shape, np.float32)
        image[round(box.y), round(box.x)] = 1
        crop, moved = crop_around(image, box, 96, rng)
        assert crop.shape == tuple(min(96, side) for side in shape)
        assert 0 <= moved.x <= 95.5
        assert 0 <= moved.y <= 95.5
        assert crop[round(moved.y), round(moved.x)] == 1


def test_crops_hold_the_centre_of_larger_objects():
    rng = np.random.default_rng(0)
    box = RotatedBox(200.3, 150.7, 0.4, 150, 260)
    places = set()
    for _ in range(300):
        _, moved = crop_around(np.zeros((400, 400), np.float32), box, 96, rng)
        assert 0 <= moved.x <= 95
        assert 0 <= moved.y <= 95
        places.add(round(moved.x))
    assert len(places) > 60


@pytest.mark.parametrize("kind", ["sequence", "function", "iterable"])
def test_batches_from_each_kind_of_source(kind):
    scenes = [(draw_box(box), box) if box else (np.zeros((96, 128), np.float32), None) for box in BOXES]
    source = {"sequence": scenes, "function": lambda rng: scenes[int(rng.integers(4))], "iterable": iter(scenes)}
    series = CropBatches(source[kind], seed=3, steps=2, batch_size=4, crop_size=64)
    images, boxes, has_object = series[0]
    assert images.shape == (4, 1, 64, 64)
    assert boxes.shape == (4, 5)
    assert has_object.any()
    if kind != "iterable":
        again = CropBatches(source[kind], seed=3, steps=2, batch_size=4, crop_size=64)[0]
        assert all((a == b).all() for a, b in zip((images, boxes, has_object), again, strict=True))
    with pytest.raises(IndexError):
        series[2]


def test_crops_are_no_larger_than_the_images():
    def draw(rng):
        image = rng.uniform(0.1, 1, (70, 200))  # zeros come only from padding
        return image, RotatedBox(100, 35, 0.4, 30, 60)

    images, boxes, has_object = CropBatches(draw, seed=0, steps=1, batch_size=4, crop_size=96)[0]
    assert images.shape == (4, 1, 70, 96)
    assert images.min() >= 0.1
    assert has_object.all()
    assert (boxes[:, 1] == 35).all()
    sizes = iter([(70, 200), (90, 80)])
    mixed = CropBatches(lambda rng: (np.ones(next(sizes)), None), seed=0, steps=1, batch_size=2, crop_size=96)[0]
    assert mixed.images.shape == (2, 1, 90, 96)
    assert mixed.images.sum(dim=(1, 2, 3)).tolist() == [70 * 96, 90 * 80]


def test_a_batch_keeps_one_whole_image_in_memory_at_a_time():
    series = CropBatches(lambda rng: (np.zeros((1000, 1000), np.uint8), None), seed=0, steps=1, crop_size=64)
    tracemalloc.start()
    try:
        series[0]
        assert tracemalloc.get_traced_memory()[1] < 6 * 4e6  # bytes; 16 images of 4e6 bytes are in the batch
    finally:
        tracemalloc.stop()


def test_too_few_scenes_are_refused():
    with pytest.raises(ValueError, match="at least one scene"):
        CropBatches([], seed=0, steps=1)
    scene = (np.zeros((64, 64)), None)
    with pytest.raises(ValueError, match="the iterable has ended"):
        CropBatches(iter([scene] * 3), seed=0, steps=1, batch_size=4, crop_size=64)[0]


@pytest.mark.parametrize("scene", [(np.zeros((64, 64)), np.full(5, np.nan)), np.zeros((64, 64)), (None,)])
def test_wrong_scenes_are_refused(scene):
    with pytest.raises(ValueError, match=r"a scene is an image and a RotatedBox \(or None\), got .*from_array"):
        CropBatches(lambda rng: scene, seed=0, steps=1, crop_size=64)[0]


def test_the_crop_size_follows_the_phase():
    phases = (CropPhase(end_fraction=0.5, crop_size=64), CropPhase(crop_size=96))
    series = CropBatches(lambda rng: (rng.random((200, 200)), None), seed=0, steps=4, batch_size=1, crop_size=phases)
    assert [series[step].images.shape[-1] for step in range(4)] == [64, 64, 96, 96]
    assert series.at_place(0, 3.5).images.shape[-1] == 96  # the schedule is ahead of the step
    with pytest.raises(IndexError, match="place 4"):
        series.at_place(0, 4.0)
    with pytest.raises(ValueError, match="the last must be 1, got \\[0.5\\]"):
        CropBatches(series.scenes, seed=0, steps=1, crop_size=phases[:1])
