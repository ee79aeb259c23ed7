import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from skimage.draw import polygon_perimeter

from centerdet import ScenesConfig, SyntheticScenes, batches
from centerdet.synthetic.batches import CurriculumConfig, Phase, SyntheticBatches, draw_batch
from centerdet.synthetic.scenes import outline


def random_state(seed):
    return np.random.Generator(np.random.SFC64(seed))


SETTINGS = {
    "default": ScenesConfig(),
    "ships": ScenesConfig(noise_level=0.0, num_lines=0, ship_probability=1.0),
    "lines": ScenesConfig(noise_level=0.0, ship_probability=0.0),
    "many lines": ScenesConfig(noise_level=0.3, num_lines=20, ship_probability=0.0),
}


def statistics(images, boxes, level):
    """Numbers of each scene; images ``(n, H, W)``, boxes ``(n, 5)`` with zeros for none."""
    drawn = images > level
    number = drawn.sum((1, 2))
    some, axis = np.maximum(number, 1), np.arange(images.shape[1])
    facts = {
        "drawn pixels": number,
        "their x": (drawn.sum(1) @ axis) / some,
        "their y": (drawn.sum(2) @ axis) / some,
        "their mean": (images * drawn).sum((1, 2)) / some,
        "mean": images.mean((1, 2)),
        "one pixel": images[:, 57, 123],
        "another": images[:, 150, 20],
        "present": boxes[:, 3] > 0,
    }
    return facts | {name: boxes[:, column] for column, name in enumerate(("x", "y", "yaw", "width", "height"))}


def predict_all(chunks, level):
    parts = [statistics(images, boxes, level) for images, boxes in chunks]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def reference_chunks(count, config):
    for first in range(0, count, 100):
        scenes = [SyntheticScenes(77, config=config)[index] for index in range(first, first + 100)]
        boxes = [np.zeros(5) if box is None else box.to_array() for _, box in scenes]
        yield np.stack([image for image, _ in scenes]), np.stack(boxes)


def batch_chunks(count, config):
    rng = random_state(0)
    for _ in range(count // 100):
        batch = draw_batch(rng, 100, scenes=config)
        yield batch.images[:, 0].numpy(), batch.boxes.double().numpy()


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("count", [1000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_the_law_is_the_references(count, setting):
    """Two-sample Kolmogorov-Smirnov tests: of everything that a label says, and of what the pixels tell.

    Seeds are fixed. Were they not, all tests of one count together would fail by chance in one run of 1,000 at most (4
    settings, 13 statistics, 1.9e-5 each). With 20,000 scenes of each kind, distribution functions that differ by 0.034
    anywhere (with 1,000: by 0.15) fail it in 98 % of the runs at least.
    """
    config = SETTINGS[setting]
    ours, theirs = (
        predict_all(chunks(count, config), config.noise_level) for chunks in (batch_chunks, reference_chunks)
    )
    assert len(ours["mean"]) == len(theirs["mean"]) == count
    found = {name: ks_2samp(ours[name], theirs[name], method="asymp").pvalue for name in ours}
    assert min(found.values()) > 1.9e-5, found


def test_ships_are_drawn_as_scikit_image_draws_them(monkeypatch):
    drawn = []
    monkeypatch.setattr(batches, "outline", lambda *given: drawn.append(outline(*given)) or drawn[-1])
    scenes = ScenesConfig(noise_level=0.0, num_lines=0, ship_probability=1.0)
    batch = draw_batch(random_state(5), 500, scenes=scenes)
    for vertices, image in zip(drawn[0], batch.images[:, 0].numpy(), strict=True):
        expected = np.zeros((200, 200), dtype=bool)
        expected[polygon_perimeter(*vertices.T, shape=expected.shape)] = True
        np.testing.assert_array_equal(image > 0, expected.T)


def test_background_stays_below_the_noise_level():
    images = draw_batch(random_state(6), 50, scenes=ScenesConfig(num_lines=0, ship_probability=0.0)).images
    assert images.max() < torch.tensor(0.8)


def test_windows_hold_the_ship_and_move_its_box():
    scenes = ScenesConfig(noise_level=0.1, num_lines=0, ship_probability=1.0)
    whole = draw_batch(random_state(4), 200, scenes=scenes)
    batch = draw_batch(random_state(4), 200, scenes=scenes, crop_size=96)
    assert batch.images.shape == (200, 1, 96, 96)
    torch.testing.assert_close(batch.boxes[:, 2:], whole.boxes[:, 2:])
    shift = whole.boxes[:, :2] - batch.boxes[:, :2]
    assert ((shift >= 0) & (shift <= 104) & (shift == shift.round())).all()
    for image, box in zip(batch.images[:, 0].numpy(), batch.boxes.numpy(), strict=True):
        bright = np.argwhere(image > 0.1)[:, ::-1]
        assert np.linalg.norm(bright - box[:2], axis=1).max() <= np.hypot(*box[3:]) / 2 + 1.5
        assert len(bright) > 20


def test_batches_repeat_themselves_and_never_each_other():
    batches = SyntheticBatches(3, steps=4, curriculum=CurriculumConfig(batch_size=4))
    again = SyntheticBatches(3, steps=4, curriculum=CurriculumConfig(batch_size=4))
    torch.testing.assert_close(batches[2], again[2], rtol=0, atol=0)
    others = [batches[0], batches[1], SyntheticBatches(4, steps=4, curriculum=CurriculumConfig(batch_size=4))[2]]
    assert all(not torch.equal(batches[2].images, other.images) for other in others)
    assert all(not torch.equal(batches[2].boxes, other.boxes) for other in others)


def test_phases_follow_each_other():
    phases = (Phase(end_fraction=0.25, crop_size=64, num_lines=0), Phase(end_fraction=0.5, crop_size=96), Phase())
    config = CurriculumConfig(batch_size=2, ship_probability=0.0, phases=phases)
    batches = SyntheticBatches(0, steps=8, curriculum=config)
    assert [batches[step].images.shape[-1] for step in range(8)] == [64, 64, 96, 96, 200, 200, 200, 200]
    assert (batches[1].images <= 0.8).all()
    assert (batches[2].images > 0.8).any()
    with pytest.raises(IndexError, match="step must lie in"):
        batches[8]


def test_images_without_a_ship_have_no_box():
    batch = draw_batch(random_state(0), 64, scenes=ScenesConfig(num_lines=0, ship_probability=0.5))
    assert (batch.boxes[~batch.has_object] == 0).all()
    assert (batch.images[~batch.has_object] <= 0.8).all()
    assert 10 < batch.has_object.sum() < 54


@pytest.mark.parametrize(
    "arguments",
    [
        {"batch_size": 0},
        {"ship_probability": 2.0},
        {"phases": ()},
        {"phases": (Phase(end_fraction=0.5),)},
        {"phases": (Phase(end_fraction=0.7), Phase(end_fraction=0.3), Phase())},
    ],
)
def test_impossible_curricula_are_refused(arguments):
    with pytest.raises(ValueError, match="must"):
        CurriculumConfig(**arguments)


@pytest.mark.parametrize("arguments", [{"until": 0.0}, {"until": 1.5}, {"no_lines": -1}])
def test_impossible_phases_are_refused(arguments):
    with pytest.raises(ValueError, match="must"):
        Phase(**arguments)


@pytest.mark.parametrize("window", [63, 201])
def test_impossible_windows_are_refused(crop_size):
    with pytest.raises(ValueError, match="window must lie in 64..200"):
        SyntheticBatches(0, steps=1, curriculum=CurriculumConfig(phases=(Phase(crop_size=crop_size),)))
