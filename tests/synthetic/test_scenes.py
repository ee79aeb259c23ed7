"""The generator against recorded hashes of the task's generator, and the series of scenes."""

import hashlib
import json
from itertools import islice

import numpy as np
import pytest
from skimage.draw import line, polygon_perimeter

from centerdet import ScenesConfig, SyntheticScenes, benchmark_scenes, make_data
from centerdet.synthetic.scenes import _perimeter, draw_benchmark
from centerdet.synthetic.ship import draw_ships, outline
from tests.helpers import GOLDEN

ARGUMENTS = {
    "default": {},
    "no_noise": {"has_spaceship": True, "noise_level": 0, "no_lines": 0},
    "ship_only_args": {"has_spaceship": True},
    "background_only": {"has_spaceship": False},
    "harder": {"noise_level": 1.0, "no_lines": 12},
    "big": {"image_size": 320},
}
RECORDED = [
    pytest.param(ARGUMENTS[group], row, id=f"{group}-{row['seed']}")
    for group, rows in json.loads((GOLDEN / "images.json").read_text()).items()
    for row in rows
]


def digest(image):
    return hashlib.sha256(np.ascontiguousarray(image, dtype="<f8").tobytes())


@pytest.mark.parametrize(("arguments", "row"), RECORDED)
def test_make_data_equals_the_recorded_scenes_bit_for_bit(arguments, row):
    np.random.seed(row["seed"])
    image, label = make_data(**arguments)
    expected = [np.nan if value is None else value for value in row["label"]]
    assert np.random.rand() == row["next_random"]
    assert digest(image).hexdigest() == row["sha256"]
    np.testing.assert_array_equal(label, expected)
    assert image.dtype == np.float64


def test_a_stream_of_2000_calls_equals_the_recorded_one():
    stream = np.load(GOLDEN / "stream_seed0_2000.npz")
    np.random.seed(0)
    labels, digests = [], []
    for _ in range(2000):
        image, label = make_data()
        labels.append(label)
        digests.append(digest(image).digest())
    np.testing.assert_array_equal(labels, stream["labels"])
    assert hashlib.sha256(b"".join(digests)).digest() == stream["digest"].tobytes()


def test_benchmark_scenes_are_those_of_make_data_and_keep_the_global_stream():
    np.random.seed(7)
    expected = [make_data() for _ in range(20)]
    before = np.random.get_state()[1].copy()
    for (image, box), (same, label) in zip(benchmark_scenes(7, 20), expected, strict=True):
        np.testing.assert_array_equal(image, same)
        np.testing.assert_array_equal(np.full(5, np.nan) if box is None else box.to_array(), label)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_perimeters_are_those_of_scikit_image():
    boxes, notch = draw_ships(np.random.default_rng(0), 300, 200)
    for vertices in outline(boxes, notch):
        expected = polygon_perimeter(*vertices.T, shape=(200, 200))
        np.testing.assert_array_equal(_perimeter(vertices, 200), expected)


def test_scenes_hold_the_lines_that_were_drawn():
    for scene in draw_benchmark(3, 5, noise_level=0.0):
        for x0, y0, x1, y1 in scene.lines.tolist():
            rows, columns = line(y0, x0, y1, x1)
            ends = scene.image[[y0, y1], [x0, x1]]
            assert (ends > 0).all()
            assert (scene.image[rows, columns] > 0).mean() > 0.5  # the two directions of a line round ties differently
        assert scene.lines.shape == (6, 4)


def test_benchmark_scenes_take_other_noise_levels_and_numbers_of_lines():
    np.random.seed(11)
    expected = [make_data(noise_level=0.6, no_lines=2)[0] for _ in range(3)]
    for (image, _), same in zip(benchmark_scenes(11, 3, noise_level=0.6, num_lines=2), expected, strict=True):
        np.testing.assert_array_equal(image, same)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 199}, "image_size must be at least 200"),
        ({"image_size": 200.0}, "whole number"),
        ({"no_lines": 2.5}, "whole number"),
        ({"noise_level": -0.1}, "noise_level"),
        ({"noise_level": float("inf")}, "noise_level"),
        ({"noise_level": float("nan")}, "noise_level"),
        ({"no_lines": -1}, "no_lines"),
    ],
)
def test_arguments_out_of_range_are_refused_before_anything_is_drawn(arguments, message):
    np.random.seed(1)
    with pytest.raises(ValueError, match=message):
        make_data(**arguments)
    drawn = np.random.rand()
    np.random.seed(1)
    assert np.random.rand() == drawn


def test_series_are_repeatable_and_keep_the_global_stream():
    np.random.seed(3)
    first = list(islice(SyntheticScenes(5), 6))
    second = list(islice(SyntheticScenes(5), 6))
    for (image, box), (same, same_box) in zip(first, second, strict=True):
        np.testing.assert_array_equal(image, same)
        assert box == same_box
    drawn = np.random.rand()
    np.random.seed(3)
    assert np.random.rand() == drawn


def test_workers_share_a_series_without_repetition():
    series = [digest(image).digest() for image, _ in islice(SyntheticScenes(5), 12)]
    shares = [digest(image).digest() for k in range(3) for image, _ in islice(SyntheticScenes(5, first=k, step=3), 4)]
    assert sorted(shares) == sorted(series)
    assert len(set(series)) == 12
    others = {digest(image).digest() for image, _ in islice(SyntheticScenes(6), 12)}
    assert not others & set(series)


def test_scenes_follow_their_config():
    config = ScenesConfig(ship_probability=1.0, noise_level=0.5, num_lines=0, image_size=256)
    for image, box in islice(SyntheticScenes(1, config=config), 5):
        assert image.shape == (256, 256)
        assert box is not None
        bright = np.argwhere(image > 0.5)[:, ::-1]  # as (x, y): only pixels of the outline
        assert np.linalg.norm(bright - [box.x, box.y], axis=1).max() <= np.hypot(box.width, box.height) / 2 + 1.5
    assert all(box is None for _, box in islice(SyntheticScenes(1, config=ScenesConfig(ship_probability=0.0)), 5))


@pytest.mark.parametrize("arguments", [{"seed": -1}, {"seed": 0, "first": -1}, {"seed": 0, "step": 0}])
def test_numbers_of_series_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match="seed >= 0"):
        SyntheticScenes(**arguments)


@pytest.mark.parametrize("arguments", [{"ship_probability": 1.1}, {"noise_level": 1.1}, {"image_size": 100}])
def test_settings_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        ScenesConfig(**arguments)
