"""Augmentation changes an image and moves its box along."""

import numpy as np
import pytest

from centerdet import RotatedBox
from centerdet.data.augment import Augmentation, AugmentationConfig
from tests.helpers import draw_box


@pytest.mark.parametrize(
    "config",
    [
        {"flips": True},
        {"quarter_turns": True},
        {"rotation": 40.0},
        {"scale": (0.8, 1.2)},
        {"shift": 0.15},
        {"flips": True, "quarter_turns": True, "rotation": 20.0, "scale": (0.9, 1.1), "shift": 0.05},
    ],
    ids=str,
)
def test_the_box_moves_with_the_object(config):
    augment = Augmentation(AugmentationConfig(fill=0.2, **config))
    rng = np.random.default_rng(5)
    count_moved = 0
    for _ in range(20):
        box = RotatedBox(60 + rng.uniform(-5, 5), 48, rng.uniform(-3, 3), 24, 40)
        image, moved = augment(draw_box(box), box, rng)
        expected = draw_box(moved, image.shape)
        overlap = ((image > 0.55) & (expected > 0.55)).sum() / ((image > 0.55) | (expected > 0.55)).sum()
        assert overlap > 0.88  # interpolation blurs the edges
        count_moved += moved != box
    assert count_moved >= 8


@pytest.mark.parametrize(("fill", "expected"), [(None, None), (0.0, 0.0), (0.7, 0.7)])
def test_empty_areas_are_filled(fill, expected):
    image = draw_box(RotatedBox(64, 48, 0, 30, 40))
    turned, _ = Augmentation(AugmentationConfig(rotation=45.0, fill=fill))(image, None, np.random.default_rng(1))
    assert turned[0, 0] == pytest.approx(image.mean() if expected is None else expected, abs=1e-3)
    assert turned[0, 0] != pytest.approx(image[0, 0], abs=0.01)


@pytest.mark.parametrize("values", [{"noise": 1.5}, {"blur": 1e6}, {"gamma": (1e-3, 1.0)}, {"shift": 0.5}])
def test_amounts_out_of_range_are_refused(values):
    with pytest.raises(ValueError, match=r"at most|0\.01"):
        AugmentationConfig(**values)


def test_photometric_changes_keep_the_box():
    config = AugmentationConfig(brightness=0.2, contrast=0.2, gamma=(0.8, 1.2), noise=0.1, blur=1.0)
    box = RotatedBox(60, 48, 0.3, 24, 40)
    image, moved = Augmentation(config)(draw_box(box), box, np.random.default_rng(0))
    np.testing.assert_allclose(moved.to_array(), box.to_array(), atol=1e-4)
    assert not np.array_equal(image, draw_box(box))
    assert 0 <= image.min() <= image.max() <= 1


def test_the_same_seed_gives_the_same_augmentation():
    augment = Augmentation(AugmentationConfig(rotation=30, noise=0.1))
    box = RotatedBox(60, 48, 0.3, 24, 40)
    first, second = (augment(draw_box(box), box, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    assert first[1] == second[1]
