"""The second look: its pixels are the generator's, it finds what is there, and it says when it cannot know."""

import subprocess
import sys

import numpy as np
import pytest
from skimage.draw import line, polygon_perimeter

import centerdet
from centerdet.refine import Fit, RefinedDetector, Refiner
from centerdet.refine.bresenham import PAD, edge_pixels, segment_sum
from centerdet.refine.lines import find_segments
from centerdet.refine.mcmc import _keep_edge
from centerdet.refine.outlines import cover, likelihood
from centerdet.refine.prior import RefinementConfig, ScenePrior
from centerdet.synthetic.scenes import draw_official, outline

ANYWHERE = centerdet.RotatedBox(100, 100, 1, 25, 38)
SHIP = np.hstack([ScenePrior().outline, ScenePrior().play])
TRIANGLE = ScenePrior(
    outline=((0.0, 0.5), (-0.5, -0.5), (0.5, -0.5)), play=((0.0, 0.0),) * 3, ratio=(1.0, 0.2), width=(25, 45), lines=0
)


@pytest.fixture(scope="module")
def scenes():
    return list(draw_official(31, 40))


def jittered(box, random):
    """A guess such as a network makes."""
    moved = box.to_array() + random.normal(0, [1.5, 1.5, 0.07, 2, 2.5])
    return centerdet.RotatedBox(*moved.tolist())


def test_segments_are_those_of_scikit_image():
    for x0, y0, x1, y1 in np.random.default_rng(0).integers(0, 60, (2000, 4)).tolist():
        x, y = line(x0, y0, x1, y1)  # the generator's first axis is x
        np.testing.assert_array_equal(edge_pixels(x0, y0, x1, y1), np.stack([x, y], axis=1))


def test_outlines_are_those_of_the_generator():
    random = np.random.default_rng(1)
    for _ in range(500):
        shape = random.normal()
        box = np.array([*random.integers(60, 140, 2), random.uniform(-4, 4), random.integers(18, 37), 0])
        box[4] = box[3] * random.normal(1.5, 0.2)
        corners = outline(box[None], np.array([1 / 3 + 0.1 * shape]))[0]
        wanted = np.zeros((200, 200), bool)
        x, y = polygon_perimeter(corners[:, 0], corners[:, 1])
        wanted[y, x] = True
        evidence = np.ones((200 + 2 * PAD, 200 + 2 * PAD), np.float32)
        cover(evidence, np.array([*box, shape]), SHIP, 0)
        np.testing.assert_array_equal(evidence[PAD:-PAD, PAD:-PAD] == 0, wanted)


def test_the_likelihood_adds_up_the_edges_and_each_corner_once():
    evidence = np.random.default_rng(2).normal(size=(100 + 2 * PAD, 100 + 2 * PAD)).astype(np.float32)
    triangle = np.array([[0, 0.5, 0, 0], [-0.5, -0.5, 0, 0], [0.5, -0.5, 0, 0]])
    corners = [(50, 70), (30, 30), (70, 30)]
    pixels = [
        pixel
        for a, b in zip(corners, corners[1:] + corners[:1], strict=True)
        for pixel in edge_pixels(*a, *b)[:-1].tolist()
    ]
    wanted = sum(evidence[y + PAD, x + PAD] for x, y in pixels)
    got = likelihood(evidence, np.array([50.0, 50.0, 0.0, 40.0, 40.0, 0.0]), triangle)
    assert got == pytest.approx(wanted, abs=1e-3)


def test_an_outline_far_outside_is_impossible():
    evidence = np.zeros((100 + 2 * PAD, 100 + 2 * PAD), np.float32)
    assert likelihood(evidence, np.array([50.0, 190.0, 0.0, 40.0, 40.0, 0.0]), SHIP) < -1e8


def test_long_segments_are_summed_up_as_short_ones_are():
    evidence = np.random.default_rng(6).normal(size=(1200, 1200)).astype(np.float32)
    for x0, y0, x1, y1 in np.random.default_rng(7).integers(0, 1000, (200, 4)).tolist():
        x, y = line(x0, y0, x1, y1)
        wanted = evidence[y + PAD, x + PAD].astype(float).sum()
        assert segment_sum(evidence, np.array([x0, y0, x1, y1])) == pytest.approx(wanted, abs=1e-2)


@pytest.mark.parametrize("corner", range(4))
def test_another_width_can_keep_an_edge(corner):
    random = np.random.default_rng(8)
    for _ in range(20):
        now = np.array([100, 90, random.uniform(-3, 3), 25, 40, random.normal()])
        then = now.copy()
        then[3] += random.uniform(-4, 4)
        first, second = SHIP[corner], SHIP[(corner + 1) % 4]
        _keep_edge(now, then, first, second)
        edges = []
        for state in (now, then):
            u, v = (second - first)[:2] + state[5] * (second - first)[2:]
            cos, sin = np.cos(state[2]), np.sin(state[2])
            u, v = u * state[3], v * state[4]
            edges.append([u * cos + v * sin, v * cos - u * sin])
        np.testing.assert_allclose(edges[1], edges[0], atol=1e-9)


def test_lines_explain_a_scene_without_object(scenes):
    empty = [scene for scene in scenes if scene.box is None]
    assert len(empty) >= 5
    for scene in empty:
        puzzle = Refiner()._puzzle(scene.image.astype(np.float32), ANYWHERE)
        found = find_segments(puzzle.evidence, puzzle.pairs, 6, 14.0)
        assert len(found) <= 6
        left = puzzle.evidence[puzzle.bright[:, 1] + PAD, puzzle.bright[:, 0] + PAD] > 0
        assert left.sum() <= 5 < len(puzzle.bright) / 4


def test_guesses_become_exact_and_empty_scenes_stay_empty(scenes):
    random = np.random.default_rng(3)
    refiner = Refiner()
    before, after, false_alarms = [], [], 0
    for scene in scenes:
        guess = jittered(scene.box or ANYWHERE, random)
        fit = refiner.refine(scene.image, [guess])
        if scene.box is None:
            false_alarms += fit is not None and fit.gain > 15
        else:
            before.append(centerdet.score_iou(guess, scene.box))
            after.append(centerdet.score_iou(fit and fit.box, scene.box))
    assert false_alarms <= 1
    assert np.mean(before) < 0.9
    assert np.mean(np.array(after) > 0.9) >= 0.9


def test_a_wrong_heading_is_set_right(scenes):
    after = []
    for scene in [scene for scene in scenes if scene.box][:10]:
        box = np.add(scene.box.to_array(), [2, -2, np.pi - 0.2, 1, -2])
        fit = Refiner().refine(scene.image, [centerdet.RotatedBox(*box.tolist())])
        error = fit.box.yaw - scene.box.yaw
        after.append(abs(np.arctan2(np.sin(error), np.cos(error))))
    assert np.median(after) < 0.05
    assert sum(error < 0.3 for error in after) >= 9


def test_the_second_guess_may_be_the_right_one(scenes):
    scene = next(scene for scene in scenes if scene.box)
    wrong = centerdet.RotatedBox(200 - scene.box.x, 200 - scene.box.y, scene.box.yaw + 1, 20, 30)
    fit = Refiner(more=1).refine(scene.image, [wrong, scene.box])
    assert centerdet.score_iou(fit.box, scene.box) > 0.9
    with pytest.raises(ValueError, match="at least one guess"):
        Refiner().refine(scene.image, [])


def test_another_outline_can_be_given():
    random = np.random.default_rng(4)
    after = []
    for _ in range(8):
        box = centerdet.RotatedBox(*random.integers(60, 140, 2).tolist(), random.uniform(-3, 3), 36, 40)
        image = 0.8 * random.random((200, 200))
        corners = box.x, box.y
        cos, sin = np.cos(box.yaw), np.sin(box.yaw)
        u, v = np.array(TRIANGLE.outline).T * [[box.width], [box.height]]
        x, y = polygon_perimeter(corners[0] + u * cos + v * sin, corners[1] - u * sin + v * cos)
        image[y, x] = np.maximum(image[y, x], random.random(len(x)))
        fit = Refiner(TRIANGLE).refine(image, [jittered(box, random)])
        after.append(centerdet.score_iou(fit and fit.box, box))
    assert np.median(after) > 0.9


def test_answers_do_not_depend_on_threads_or_repetition(scenes):
    refiner = Refiner(candidates=500, more=500, chains=2, steps=200)
    images = [scene.image for scene in scenes[:6]]
    guesses = [[scene.box or ANYWHERE] for scene in scenes[:6]]
    one = refiner.refine_batch(images, guesses)
    assert one == refiner.refine_batch(images, guesses, threads=3)


def test_a_detector_refines_by_what_is_stored_with_its_weights(scenes, tmp_path):
    detector = centerdet.load()
    detector.refinement = RefinementConfig(threshold=0.4, calibration=centerdet.Calibration(a=2.0, b=1.0, c=0.5))
    detector.save(tmp_path / "weights.safetensors")
    again = centerdet.load(tmp_path / "weights.safetensors")
    assert again.refinement == detector.refinement
    assert again.refined().threshold == 0.4
    images = [scene.image for scene in scenes[:8]]
    plain, refined = again.detect_batch(images), again.detect_batch(images, refine=True)
    gains = [
        centerdet.score_iou(b and b.box, scene.box) - centerdet.score_iou(a and a.box, scene.box)
        for a, b, scene in zip(plain, refined, scenes, strict=False)
        if scene.box and a
    ]
    assert np.mean(gains) > 0.03
    index = next(i for i, found in enumerate(refined) if found)
    alone = again.detect(images[index], refine=True)
    np.testing.assert_allclose(alone.box.to_array(), refined[index].box.to_array(), atol=1e-3)


class Fixed:
    """Stands for a ``Refiner`` whose answers are known."""

    def __init__(self, *fits):
        self.fits = list(fits)

    def refine_batch(self, images, guesses, *, threads):
        return self.fits


def test_what_does_not_fit_leaves_the_box_alone(scenes):
    detector = centerdet.load(threshold=0.0)
    images = [scene.image for scene in scenes[:3]]
    before = detector.detect_batch(images)
    box = centerdet.RotatedBox(90, 80, 1, 20, 30)
    fits = Fit(box, gain=60.0, unexplained=0), Fit(box, gain=-3.0, unexplained=9), None
    after = RefinedDetector(detector, RefinementConfig(threshold=0.0), refiner=Fixed(*fits)).detect_batch(images)
    assert [found.box for found in after] == [box, before[1].box, before[2].box]
    assert after[0].score > after[1].score > after[2].score


def test_without_facts_there_is_no_refinement(scenes):
    detector = centerdet.load()
    detector.refinement = None
    with pytest.raises(ValueError, match=r"what is known of their scenes.*detector.refinement = "):
        detector.detect(scenes[0].image, refine=True)


@pytest.mark.parametrize(
    "facts",
    [
        {"noise_level": 1.0},
        {"noise_level": 0.0},
        {"outline": ((0.0, 0.0), (1.0, 1.0)), "play": ((0.0, 0.0),) * 2},
        {"play": ()},
        {"width": (30, 20)},
        {"ratio": (1.0, 0.0)},
        {"lines": -1},
    ],
)
def test_impossible_facts_are_refused(facts):
    with pytest.raises(ValueError, match=r"must|needs"):
        ScenePrior(**facts)


def test_a_refiner_needs_sensible_numbers():
    with pytest.raises(ValueError, match="at least 1"):
        Refiner(chains=0)


def test_a_missing_numba_is_named_with_its_remedy():
    code = "import sys; sys.modules['numba'] = None; import centerdet; centerdet.load(); import centerdet.refine"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'centerdet[refine]'" in done.stderr.splitlines()[-1]
