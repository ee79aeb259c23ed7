import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from skimage.draw import line, polygon_perimeter

from centerdet import Scenes, ScenesConfig
from centerdet.scene_batches import CurriculumConfig, Phase, SceneBatches, draw_batch, rasterise
from centerdet.scenes import outline


def random_state(seed):
    return np.random.Generator(np.random.SFC64(seed))


def test_lines_are_scikit_images_pixel_for_pixel_and_in_order():
    random = np.random.default_rng(0)
    segments = random.integers(-20, 60, (3000, 1, 2, 2))
    segments[:500] = random.integers(0, 4, (500, 1, 2, 2))  # short ones, many of them of length 0 or diagonal
    x, y, valid = rasterise(torch.from_numpy(segments))
    for index, segment in enumerate(segments):
        expected = np.stack(line(*segment.ravel()))
        drawn = torch.stack([x[index, 0], y[index, 0]])[:, valid[index, 0]]
        np.testing.assert_array_equal(drawn, expected)


def test_outlines_cover_scikit_images_pixels():
    random = np.random.default_rng(1)
    count = 2000
    width = random.integers(18, 37, count)
    boxes = np.stack(
        [
            *random.integers(10, 190, (2, count)),
            random.random(count) * 2 * np.pi,
            width,
            width * abs(random.normal(1.5, 0.2, count)),
        ],
        1,
    )
    vertices = outline(boxes, abs(random.normal(1 / 3, 0.1, count)))
    edges = np.stack([vertices, np.roll(vertices, -1, axis=1)], axis=2).round().astype(np.int64)
    x, y, valid = rasterise(torch.from_numpy(edges))
    for index in range(count):
        expected = set(zip(*(axis.tolist() for axis in polygon_perimeter(*vertices[index].T)), strict=True))
        drawn = set(zip(x[index][valid[index]].tolist(), y[index][valid[index]].tolist(), strict=True))
        assert drawn == expected


def test_no_lines_at_all_can_be_rasterised():
    x, _, valid = rasterise(torch.zeros((3, 0, 2, 2), dtype=torch.int64))
    assert x.shape[:2] == valid.shape[:2] == (3, 0)


def test_the_law_is_the_references():
    """Two-sample Kolmogorov-Smirnov tests of label and intensity statistics.

    Seeds are fixed. Were they not, the test would fail by chance in one run of 1,000 (8 tests at 1.2e-4 each).
    """
    count = 3000
    config = ScenesConfig()
    batch = draw_batch(random_state(0), count, scenes=config)
    scenes = [Scenes(77)[index] for index in range(count)]
    ours, theirs = batch.images[:, 0].numpy(), np.stack([image for image, _ in scenes])
    there = np.array([box is not None for _, box in scenes])
    boxes = np.array([box.to_array() for _, box in scenes if box is not None])
    samples = [(batch.boxes[batch.present][:, column].double().numpy(), boxes[:, column]) for column in range(5)]
    samples.append(((ours > 0.8).sum((1, 2)), (theirs > 0.8).sum((1, 2))))
    samples.append((ours.mean((1, 2)), theirs.mean((1, 2))))
    samples.append((ours[:, ::29, ::31].ravel(), theirs[:, ::29, ::31].ravel()))
    assert min(ks_2samp(a, b).pvalue for a, b in samples) > 1.2e-4
    # Presence: two proportions, difference within 4 standard deviations.
    assert abs(batch.present.float().mean().item() - there.mean()) < 4 * np.sqrt(2 * 0.8 * 0.2 / count)


def test_windows_hold_the_ship_and_move_its_box():
    scenes = ScenesConfig(noise_level=0.1, no_lines=0, ship_probability=1.0)
    whole = draw_batch(random_state(4), 200, scenes=scenes)
    batch = draw_batch(random_state(4), 200, scenes=scenes, window=96)
    assert batch.images.shape == (200, 1, 96, 96)
    torch.testing.assert_close(batch.boxes[:, 2:], whole.boxes[:, 2:])
    shift = whole.boxes[:, :2] - batch.boxes[:, :2]
    assert ((shift >= 0) & (shift <= 104) & (shift == shift.round())).all()
    for image, box in zip(batch.images[:, 0].numpy(), batch.boxes.numpy(), strict=True):
        bright = np.argwhere(image > 0.1)[:, ::-1]
        assert np.linalg.norm(bright - box[:2], axis=1).max() <= np.hypot(*box[3:]) / 2 + 1.5
        assert len(bright) > 20


def test_batches_repeat_themselves_and_never_each_other():
    batches = SceneBatches(3, steps=4, curriculum=CurriculumConfig(batch_size=4))
    again = SceneBatches(3, steps=4, curriculum=CurriculumConfig(batch_size=4))
    torch.testing.assert_close(batches[2], again[2], rtol=0, atol=0)
    others = [batches[0], batches[1], SceneBatches(4, steps=4, curriculum=CurriculumConfig(batch_size=4))[2]]
    assert all(not torch.equal(batches[2].images, other.images) for other in others)
    assert all(not torch.equal(batches[2].boxes, other.boxes) for other in others)


def test_phases_follow_each_other():
    phases = (Phase(until=0.25, window=64, no_lines=0), Phase(until=0.5, window=96), Phase())
    config = CurriculumConfig(batch_size=2, ship_probability=0.0, phases=phases)
    batches = SceneBatches(0, steps=8, curriculum=config)
    assert [batches[step].images.shape[-1] for step in range(8)] == [64, 64, 96, 96, 200, 200, 200, 200]
    assert (batches[1].images <= 0.8).all()
    assert (batches[2].images > 0.8).any()
    with pytest.raises(IndexError, match="step must lie in"):
        batches[8]


def test_images_without_a_ship_have_no_box():
    batch = draw_batch(random_state(0), 64, scenes=ScenesConfig(no_lines=0, ship_probability=0.5))
    assert (batch.boxes[~batch.present] == 0).all()
    assert (batch.images[~batch.present] <= 0.8).all()
    assert 10 < batch.present.sum() < 54


@pytest.mark.parametrize(
    "arguments",
    [
        {"batch_size": 0},
        {"ship_probability": 2.0},
        {"phases": ()},
        {"phases": (Phase(until=0.5),)},
        {"phases": (Phase(until=0.7), Phase(until=0.3), Phase())},
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
def test_impossible_windows_are_refused(window):
    with pytest.raises(ValueError, match="window must lie in 64..200"):
        SceneBatches(0, steps=1, curriculum=CurriculumConfig(phases=(Phase(window=window),)))
