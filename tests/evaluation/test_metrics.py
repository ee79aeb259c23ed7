import math

import numpy as np
import pytest
import torch

from centerdet import Detection, RotatedBox, SyntheticScenes, evaluate, score_iou
from centerdet.detector.calibration import Calibration
from centerdet.evaluation.metrics import calibrate, predict_all, predict_all_unthresholded
from centerdet.evaluation.report import choose_threshold, summarise, wilson_interval
from tests.helpers import GOLDEN

NO_BOX = np.full(5, np.nan)
BOX = RotatedBox(50, 60, 0.4, 20, 30)
IMAGE = np.zeros((64, 64))


def moved(dx, yaw=0.0):
    return RotatedBox(BOX.x + dx, BOX.y, BOX.yaw + yaw, BOX.width, BOX.height)


def test_score_iou_is_the_references_on_400_pairs():
    pairs = np.load(GOLDEN / "iou_pairs.npz")
    for pred, true, expected in zip(pairs["pred"], pairs["true"], pairs["iou"], strict=True):
        score = score_iou(pred, true)
        if np.isnan(expected):
            assert score is None
        else:
            assert isinstance(score, float)
            assert abs(score - expected) < 1e-9


def test_score_iou_takes_boxes_of_every_kind():
    assert score_iou(BOX, BOX.to_array()) == pytest.approx(1)
    assert score_iou(None, BOX) == score_iou(BOX, NO_BOX) == 0
    assert score_iou(None, [math.nan] * 5) is None


@pytest.mark.parametrize("bad", ["box", [1, 2, 3], [1, 2, 3, 4, math.nan], [1, 2, math.inf, 4, 5], [[1, 2, 3, 4, 5]]])
def test_score_iou_refuses_what_is_no_box(bad):
    with pytest.raises(ValueError, match="five finite numbers"):
        score_iou(bad, NO_BOX)
    with pytest.raises(ValueError, match="five finite numbers"):
        score_iou(NO_BOX, bad)


def test_report_counts_every_kind_of_sample():
    answers = [
        (Detection(BOX, 0.9), BOX),  # right
        (Detection(moved(0, yaw=math.pi), 0.8), BOX),  # right but for the heading
        (Detection(moved(6), 0.7), BOX),  # misplaced
        (None, BOX),  # missed
        (Detection(BOX, 0.6), None),  # false alarm
        (None, None),  # not scored
    ]
    remaining = iter(answers)
    report = evaluate(lambda _: next(remaining)[0], [(IMAGE, target) for _, target in answers])
    expected = [score_iou(predicted.box.to_array(), target.to_array()) for predicted, target in answers[:3]]
    assert (report.samples, report.scored) == (6, 5)
    assert (report.false_alarms, report.misses) == (1, 1)
    assert report.ap == pytest.approx(2 / 5)
    assert report.mean_iou == pytest.approx(np.mean(expected))
    assert report.has_heading == pytest.approx(2 / 3)
    assert report.presence == pytest.approx(4 / 6)
    assert report.ap_by_iou["0.50"] == pytest.approx(3 / 5)
    assert report.ap_by_iou["0.95"] == pytest.approx(2 / 5)
    assert report.ap_mean == pytest.approx(np.mean(list(report.ap_by_iou.values())))
    assert list(report.ap_by_iou) == ["0.50", "0.55", "0.60", "0.65", "0.70", "0.75", "0.80", "0.85", "0.90", "0.95"]
    assert report.ap_low < report.ap < report.ap_high
    assert "AP@0.7                0.4000" in str(report)


def test_ap_is_the_mean_of_the_official_score():
    rng = np.random.default_rng(0)
    truths = [None if rng.random() < 0.2 else moved(rng.uniform(0, 20)) for _ in range(200)]
    answers = [None if rng.random() < 0.2 else moved(rng.uniform(0, 20)) for _ in range(200)]
    remaining = iter(answers)
    report = evaluate(lambda _: next(remaining), [(IMAGE, target) for target in truths])

    def array(box):
        return NO_BOX if box is None else box.to_array()

    scores = [score_iou(array(answer), array(target)) for answer, target in zip(answers, truths, strict=True)]
    assert report.ap == pytest.approx(np.mean([score > 0.7 for score in scores if score is not None]))


def test_detectors_and_labels_of_every_kind_are_taken():
    class Batched:
        def __call__(self, image):
            raise AssertionError("detect_batch is there")

        def detect_batch(self, images):
            assert len(images) <= 2
            return [Detection(BOX, 0.5)] * len(images)

    scenes = [(IMAGE, BOX), (IMAGE, BOX.to_array()), (IMAGE, BOX.to_array().tolist())]
    for detector in (Batched(), lambda _: BOX, lambda _: BOX.to_array(), lambda _: tuple(BOX.to_array())):
        assert evaluate(detector, iter(scenes), batch_size=2).ap == 1
    for nothing in (None, NO_BOX):
        report = evaluate(lambda _, nothing=nothing: nothing, [(IMAGE, None), (IMAGE, NO_BOX)])
        assert (report.scored, report.ap, report.presence) == (0, 0, 1)


def test_endless_scenes_are_counted():
    assert evaluate(lambda _: None, SyntheticScenes(1), count=3).samples == 3


def test_impossible_calls_are_refused():
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        evaluate(lambda _: None, [(IMAGE, None)], batch_size=0)

    class Lazy:
        def detect_batch(self, images):
            return []

    with pytest.raises(ValueError, match="must answer each of 1 images"):
        evaluate(Lazy(), [(IMAGE, None)])


def test_no_scenes_at_all_is_an_error():
    with pytest.raises(ValueError, match="at least one scene"):
        evaluate(lambda _: None, [])


def test_a_threshold_takes_detections_back():
    scored = iter([Detection(BOX, 0.9), Detection(BOX, 0.4), Detection(BOX, 0.3), None])
    results = predict_all(lambda _: next(scored), [(IMAGE, BOX), (IMAGE, BOX), (IMAGE, None), (IMAGE, None)])
    report = summarise(results.above(0.35))
    assert (report.ap, report.false_alarms, report.misses) == (1, 0, 0)
    report = summarise(results.above(0.5))
    assert (report.ap, report.false_alarms, report.misses) == (0.5, 0, 1)
    assert summarise(results.above(0)).false_alarms == 1


def test_the_chosen_threshold_has_the_best_score():
    rng = np.random.default_rng(1)
    truths = [BOX if rng.random() < 0.8 else None for _ in range(300)]
    answers = iter(
        Detection(moved(rng.uniform(0, 6)), rng.beta(5, 2) if target else rng.beta(2, 5)) for target in truths
    )
    results = predict_all(lambda _: next(answers), [(IMAGE, target) for target in truths])
    threshold = choose_threshold(results)
    best = summarise(results.above(threshold)).ap
    assert 0 < threshold < 1
    assert best >= max(summarise(results.above(other)).ap for other in np.linspace(0.02, 0.98, 97))
    assert best > summarise(results.above(0)).ap


class Guesser:
    """Says a box whose score is too high: right in half of the cases whatever it says."""

    def __init__(self, peaks):
        self.threshold, self.calibration, self.peaks = 0.4, Calibration(a=3.0), iter(peaks)

    def detect_batch(self, images):
        peaks = self.calibration(torch.tensor([next(self.peaks) for _ in images]))
        return [Detection(BOX, peak) if peak >= self.threshold else None for peak in peaks.tolist()]


def test_calibration_makes_the_score_the_chance_of_being_right():
    rng = np.random.default_rng(2)
    peaks = rng.beta(5, 2, 4000)
    truths = [BOX if chance < peak / 2 else moved(15) for chance, peak in zip(rng.random(4000), peaks, strict=True)]
    guesser = Guesser(peaks)
    report = calibrate(guesser, [(IMAGE, target) for target in truths])
    assert report.samples == 4000
    assert guesser.calibration(torch.tensor([0.5, 0.8])).tolist() == pytest.approx([0.25, 0.4], abs=0.03)
    assert report.calibration_error < 0.02
    assert 0 < guesser.threshold <= 0.98


@pytest.mark.parametrize(("truths", "ap"), [([moved(15), None], 0), ([BOX, BOX], 1)])
def test_where_nothing_or_all_is_right_calibration_leaves_the_score_alone_and_says_so(truths, ap):
    guesser = Guesser([0.3, 0.6])
    with pytest.warns(UserWarning, match=f"scores stay uncalibrated.* got {2 * ap} right ones of 2; give more"):
        assert calibrate(guesser, [(IMAGE, target) for target in truths]).ap == ap
    assert guesser.calibration == Calibration()


def test_a_failed_calibration_leaves_the_detector_as_it_was():
    guesser = Guesser([])
    with pytest.raises(ValueError, match="at least one scene"):
        calibrate(guesser, [])
    assert (guesser.threshold, guesser.calibration) == (0.4, Calibration(a=3.0))


def test_images_without_an_answer_do_not_take_part_in_calibration():
    class Silent(Guesser):
        def detect_batch(self, images):
            return [None if index % 3 == 0 else answer for index, answer in enumerate(super().detect_batch(images))]

    rng = np.random.default_rng(3)
    peaks = rng.beta(5, 2, 3000)
    guesser = Silent(peaks)
    truths = [BOX if chance < peak / 2 else moved(15) for chance, peak in zip(rng.random(3000), peaks, strict=True)]
    report = calibrate(guesser, [(IMAGE, target) for target in truths])
    assert guesser.calibration(torch.tensor(0.8)).item() == pytest.approx(0.4, abs=0.05)
    assert report.misses >= 1000


@pytest.mark.parametrize("score", [-2.3, 1.5, math.nan])
def test_scores_that_are_no_probabilities_are_refused(score):
    with pytest.raises(ValueError, match=r"score must lie in \[0, 1\]"):
        evaluate(lambda _: Detection(BOX, score), [(IMAGE, BOX)])


def test_headings_of_right_boxes_are_counted_by_themselves():
    answers = iter([moved(0, 0.2), moved(0, 0.4), moved(0, math.pi), moved(15, 3.0), None])
    report = evaluate(lambda _: next(answers), [(IMAGE, BOX)] * 5)
    assert report.ap == 0.6
    assert report.has_heading == 0.5
    assert report.heading_of_right == pytest.approx(1 / 3)


def test_wilson_interval_is_the_published_one():
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe (1998), table I, method 3
    assert wilson_interval(0, 20) == pytest.approx((0, 0.1611), abs=1e-4)
    assert wilson_interval(0, 0) == (0, 1)


def test_a_plain_function_is_shown_each_image_and_the_time_adds_up(monkeypatch):
    images = [np.full((64, 64), value) for value in (0.1, 0.2, 0.3)]
    seen, clock = [], iter([10.0, 12.0, 20.0, 23.0])
    monkeypatch.setattr("centerdet.metrics.time.perf_counter", lambda: next(clock))
    results = predict_all(lambda image: seen.append(image), [(image, None) for image in images], batch_size=2)
    assert all(one is other for one, other in zip(seen, images, strict=True))
    assert results.seconds == 5  # (12 - 10) + (23 - 20)
    assert summarise(results).images_per_second == 3 / 5
    assert results.scores.dtype == np.float64
    assert results.has_heading


class Counting:
    """Says nothing, and remembers how many images it was shown at once."""

    def __init__(self, has_heading=True, score=0.0):
        self.threshold, self.calibration, self.shown = 0.5, Calibration(), []
        self.answer = Detection(BOX, score, has_heading=has_heading)

    def detect_batch(self, images):
        self.shown.append(len(images))
        return [self.answer] * len(images)


@pytest.mark.parametrize("run", [evaluate, predict_all])
def test_images_come_in_batches_of_32_unless_told_otherwise(run):
    detector = Counting()
    run(detector, [(IMAGE, BOX)] * 70)
    assert detector.shown == [32, 32, 6]
    detector.shown.clear()
    run(detector, [(IMAGE, BOX)] * 3, batch_size=1)
    assert detector.shown == [1, 1, 1]


@pytest.mark.parametrize("run", [evaluate, predict_all, predict_all_unthresholded, calibrate])
@pytest.mark.parametrize(
    ("arguments", "count", "total", "disable"),
    [({}, 5, 5, True), ({"count": 3}, 3, 3, True), ({"count": 3, "progress": True}, 3, 3, None)],
)
def test_progress_is_shown_on_request_and_the_count_is_kept(run, arguments, count, total, disable, monkeypatch):
    bars = []

    class Bar:
        def __init__(self, **settings):
            self.settings, self.done = settings, 0
            bars.append(self)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def update(self, count):
            self.done += count

    monkeypatch.setattr("centerdet.metrics.tqdm", Bar)
    detector = Counting()
    run(detector, [(IMAGE, BOX)] * 5, **arguments)
    assert sum(detector.shown) == count
    assert [(bar.settings, bar.done) for bar in bars] == [
        ({"total": total, "unit": "image", "disable": disable, "leave": False}, count)
    ]
    bars.clear()
    run(Counting(), iter([(IMAGE, BOX)] * 5), **arguments)
    assert bars[0].settings["total"] == arguments.get("count")  # nobody knows how many there are


def test_a_heading_is_known_only_if_all_answers_have_one():
    axis = Detection(BOX, 0.5, has_heading=False)
    for answers, has_heading in (
        ([axis, None], False),
        ([axis, BOX], False),
        ([BOX, axis], False),
        ([None, BOX], True),
    ):
        remaining = iter(answers)
        results = predict_all(lambda _, remaining=remaining: next(remaining), [(IMAGE, BOX)] * 2)
        assert results.has_heading is has_heading


def test_a_score_of_0_is_a_score():
    scores = predict_all(Counting(score=0), [(IMAGE, BOX)]).scores
    assert (scores.tolist(), scores.dtype) == ([0], np.float64)
