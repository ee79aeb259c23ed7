import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from skimage.draw import polygon_perimeter

from centerdet import ScenesConfig, SyntheticScenes
from centerdet.synthetic import batch_drawing
from centerdet.synthetic.batch_drawing import draw_batch
from centerdet.synthetic.ship import outline


def make_rng(seed):
    return np.random.Generator(np.random.SFC64(seed))


SETTINGS = {
    "default": ScenesConfig(),
    "ships": ScenesConfig(noise_level=0.0, num_lines=0, ship_probability=1.0),
    "lines": ScenesConfig(noise_level=0.0, ship_probability=0.0),
    "many lines": ScenesConfig(noise_level=0.3, num_lines=20, ship_probability=0.0),
}


def statistics(images, boxes, level):
    """Statistics of each scene, for images ``(n, H, W)`` and boxes ``(n, 5)``, zeros without a ship."""
    drawn = images > level
    number = drawn.sum((1, 2))
    at_least_1, axis = np.maximum(number, 1), np.arange(images.shape[1])
    values = {
        "drawn pixels": number,
        "their x": (drawn.sum(1) @ axis) / at_least_1,
        "their y": (drawn.sum(2) @ axis) / at_least_1,
        "their mean": (images * drawn).sum((1, 2)) / at_least_1,
        "mean": images.mean((1, 2)),
        "one pixel": images[:, 57, 123],
        "another pixel": images[:, 150, 20],
        "has a ship": boxes[:, 3] > 0,
    }
    return values | {name: boxes[:, column] for column, name in enumerate(("x", "y", "yaw", "width", "height"))}


def all_statistics(chunks, level):
    parts = [statistics(images, boxes, level) for images, boxes in chunks]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def scene_chunks(count, config):
    for first in range(0, count, 100):
        scenes = [SyntheticScenes(77, config=config)[index] for index in range(first, first + 100)]
        boxes = [np.zeros(5) if box is None else box.to_array() for _, box in scenes]
        yield np.stack([image for image, _ in scenes]), np.stack(boxes)


def batch_chunks(count, config):
    rng = make_rng(0)
    for _ in range(count // 100):
        batch = draw_batch(rng, 100, scenes=config)
        yield batch.images[:, 0].numpy(), batch.boxes.double().numpy()


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("count", [1000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_batches_have_the_distribution_of_scenes(count, setting):
    """Two-sample Kolmogorov-Smirnov tests of all numbers of the labels, and of statistics of the pixels.

    Seeds are fixed. With random seeds, the tests of one count together would fail by chance in at most one run of 1,000
    (4 settings, 13 statistics, 1.9e-5 each). The tests detect, in at least 98 % of the runs, distribution functions
    that differ by 0.034 anywhere with 20,000 scenes of each kind, and by 0.15 with 1,000.
    """
    config = SETTINGS[setting]
    batches, scenes = (
        all_statistics(chunks(count, config), config.noise_level) for chunks in (batch_chunks, scene_chunks)
    )
    assert len(batches["mean"]) == len(scenes["mean"]) == count
    p_values = {name: ks_2samp(batches[name], scenes[name], method="asymp").pvalue for name in batches}
    assert min(p_values.values()) > 1.9e-5, p_values


def test_ships_are_drawn_as_scikit_image_draws_them(monkeypatch):
    drawn = []
    monkeypatch.setattr(batch_drawing, "outline", lambda *given: drawn.append(outline(*given)) or drawn[-1])
    scenes = ScenesConfig(noise_level=0.0, num_lines=0, ship_probability=1.0)
    batch = draw_batch(make_rng(5), 500, scenes=scenes)
    for vertices, image in zip(drawn[0], batch.images[:, 0].numpy(), strict=True):
        expected = np.zeros((200, 200), dtype=bool)
        expected[polygon_perimeter(*vertices.T, shape=expected.shape)] = True
        np.testing.assert_array_equal(image > 0, expected.T)


def test_background_stays_below_the_noise_level():
    images = draw_batch(make_rng(6), 50, scenes=ScenesConfig(num_lines=0, ship_probability=0.0)).images
    assert images.max() < torch.tensor(0.8)


def test_crops_hold_the_ship_and_shift_its_box():
    scenes = ScenesConfig(noise_level=0.1, num_lines=0, ship_probability=1.0)
    whole = draw_batch(make_rng(4), 200, scenes=scenes)
    batch = draw_batch(make_rng(4), 200, scenes=scenes, crop_size=96)
    assert batch.images.shape == (200, 1, 96, 96)
    torch.testing.assert_close(batch.boxes[:, 2:], whole.boxes[:, 2:])
    shift = whole.boxes[:, :2] - batch.boxes[:, :2]
    assert ((shift >= 0) & (shift <= 104) & (shift == shift.round())).all()
    for image, box in zip(batch.images[:, 0].numpy(), batch.boxes.numpy(), strict=True):
        bright = np.argwhere(image > 0.1)[:, ::-1]
        assert np.linalg.norm(bright - box[:2], axis=1).max() <= np.hypot(*box[3:]) / 2 + 1.5
        assert len(bright) > 20


def test_images_without_a_ship_have_no_box():
    batch = draw_batch(make_rng(0), 64, scenes=ScenesConfig(num_lines=0, ship_probability=0.5))
    assert (batch.boxes[~batch.has_object] == 0).all()
    assert (batch.images[~batch.has_object] <= 0.8).all()
    assert 10 < batch.has_object.sum() < 54
