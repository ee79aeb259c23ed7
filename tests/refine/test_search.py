"""The search finds the outline that is there, and knows when there is none."""

import numpy as np
import pytest
from skimage.draw import polygon_perimeter

import centerdet
from centerdet.refine.guess import Guess
from centerdet.refine.prior import ScenePrior
from centerdet.refine.search import Refiner
from centerdet.refine.settings import RefineSettings
from centerdet.synthetic.scenes import draw_benchmark

ANYWHERE = centerdet.RotatedBox(100, 100, 1, 25, 38)
TRIANGLE = ScenePrior(
    outline=((0.0, 0.5), (-0.5, -0.5), (0.5, -0.5)),
    vertex_std=((0.0, 0.0),) * 3,
    aspect_ratio=(1.0, 0.2),
    width_range=(25, 45),
    num_lines=0,
)


@pytest.fixture(scope="module")
def scenes():
    return list(draw_benchmark(31, 40))


@pytest.fixture(scope="module")
def refiner():
    return Refiner()


def jittered(box, rng, scale=1.0):
    """A box such as a first stage makes; with a scale of 0.3, such as a second stage makes."""
    moved = box.to_array() + scale * rng.normal(0, [1.5, 1.5, 0.07, 2, 2.5])
    return centerdet.RotatedBox(*moved.tolist())


def doubtful(*boxes):
    """Guesses that may be wrong."""
    return [Guess(box, 0.5) for box in boxes]


def test_guesses_become_exact_and_empty_scenes_stay_empty(scenes, refiner):
    rng = np.random.default_rng(3)
    before, after, false_alarms = [], [], 0
    for scene in scenes:
        guess = jittered(scene.box or ANYWHERE, rng)
        fit = refiner.refine(scene.image, doubtful(guess))
        if scene.box is None:
            false_alarms += fit is not None and fit.gain > 15
        else:
            before.append(centerdet.score_iou(guess, scene.box))
            after.append(centerdet.score_iou(fit and fit.box, scene.box))
    assert false_alarms <= 1
    assert np.mean(before) < 0.9
    assert np.mean(np.array(after) > 0.9) >= 0.9


def test_a_wrong_heading_is_set_right(scenes, refiner):
    after = []
    for scene in [scene for scene in scenes if scene.box][:10]:
        box = np.add(scene.box.to_array(), [2, -2, np.pi - 0.2, 1, -2])
        fit = refiner.refine(scene.image, doubtful(centerdet.RotatedBox(*box.tolist())))
        error = fit.box.yaw - scene.box.yaw
        after.append(abs(np.arctan2(np.sin(error), np.cos(error))))
    assert np.median(after) < 0.05
    assert sum(error < 0.3 for error in after) >= 9


def test_the_second_guess_may_be_the_right_one(scenes, refiner):
    scene = next(scene for scene in scenes if scene.box)
    wrong = centerdet.RotatedBox(200 - scene.box.x, 200 - scene.box.y, scene.box.yaw + 1, 20, 30)
    assert centerdet.score_iou(refiner.refine(scene.image, doubtful(wrong, scene.box)).box, scene.box) > 0.9


def test_an_object_is_found_without_a_guess_near_it(scenes, refiner):
    after = []
    for scene in [scene for scene in scenes if scene.box][:12]:
        wrong = centerdet.RotatedBox(200 - scene.box.x, 200 - scene.box.y, scene.box.yaw + 1, 20, 30)
        fit = refiner.refine(scene.image, doubtful(wrong))
        after.append(centerdet.score_iou(fit and fit.box, scene.box))
    assert np.mean(np.array(after) > 0.7) >= 0.6


def test_sure_guesses_become_exact_and_the_search_ends_there(scenes, refiner, monkeypatch):
    monkeypatch.setattr(Refiner, "_search_edges", None)  # any call would fail
    rng = np.random.default_rng(5)
    found = [scene for scene in scenes if scene.box][:20]
    boxes = [jittered(scene.box, rng, 0.3) for scene in found]
    fits, unsettled = [], 0
    for scene, box in zip(found, boxes, strict=True):
        try:
            fits.append((refiner.refine(scene.image, [Guess(box, 0.95)]), scene.box))
        except TypeError:
            unsettled += 1
    assert unsettled <= 3
    assert np.mean([centerdet.score_iou(fit and fit.box, box) for fit, box in fits]) > 0.95


def test_a_sure_guess_may_be_wrong(scenes, refiner):
    scene = next(scene for scene in scenes if scene.box)
    wrong = centerdet.RotatedBox(200 - scene.box.x, 200 - scene.box.y, scene.box.yaw + 1, 20, 30)
    fit = refiner.refine(scene.image, [Guess(wrong, 0.95), Guess(scene.box, 0.02)])
    assert centerdet.score_iou(fit.box, scene.box) > 0.9


def test_a_guess_without_a_chance_is_not_refined(scenes, refiner):
    scene = next(scene for scene in scenes if scene.box)
    assert refiner.refine(scene.image, [Guess(scene.box, 0.0005)]) is None


def test_an_image_with_too_many_bright_pixels_is_not_refined(scenes, refiner):
    scene = next(scene for scene in scenes if scene.box)
    guesses = [Guess(scene.box, 0.95)]
    assert refiner.refine(scene.image, guesses, 0.8) is not None
    assert refiner.refine(np.maximum(scene.image, np.random.default_rng(1).random((200, 200))), guesses, 0.8) is None


def test_a_search_needs_a_guess(scenes, refiner):
    with pytest.raises(ValueError, match="at least one guess"):
        refiner.refine(scenes[0].image, [])


def test_another_outline_can_be_given():
    rng = np.random.default_rng(4)
    refiner = Refiner(TRIANGLE)
    after = []
    for _ in range(8):
        box = centerdet.RotatedBox(*rng.integers(60, 140, 2).tolist(), rng.uniform(-3, 3), 36, 40)
        image = 0.8 * rng.random((200, 200))
        cos, sin = np.cos(box.yaw), np.sin(box.yaw)
        u, v = np.array(TRIANGLE.outline).T * [[box.width], [box.height]]
        x, y = polygon_perimeter(box.x + u * cos + v * sin, box.y - u * sin + v * cos)
        image[y, x] = np.maximum(image[y, x], rng.random(len(x)))
        fit = refiner.refine(image, doubtful(jittered(box, rng)))
        after.append(centerdet.score_iou(fit and fit.box, box))
    assert np.median(after) > 0.9


def test_answers_do_not_depend_on_threads_or_repetition(scenes):
    refiner = Refiner(settings=RefineSettings(num_offsets=500, num_chains=2, chain_steps=200))
    images = [scene.image for scene in scenes[:6]]
    guesses = [doubtful(scene.box or ANYWHERE) for scene in scenes[:3]]
    guesses += [[Guess(scene.box or ANYWHERE, 0.95)] for scene in scenes[3:6]]
    one = refiner.refine_batch(images, guesses)
    assert one == refiner.refine_batch(images, guesses, threads=3)


def test_settings_are_checked():
    for settings in ({"num_chains": 0}, {"sure_chains": 0}, {"sure_spread": (1, 1, 0, 1, 1)}):
        with pytest.raises(ValueError, match="at least 1"):
            RefineSettings(**settings)
