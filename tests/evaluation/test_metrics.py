import math
from types import SimpleNamespace

import numpy as np
import pytest

import centerdet
from centerdet import Detection, RotatedBox, SyntheticScenes, benchmark_scenes, evaluate, score_iou
from centerdet.detector.calibration import Calibration
from centerdet.evaluation.calibrate import calibrate
from centerdet.evaluation.metrics import predict_all, predict_stages
from centerdet.evaluation.report import summarise
from tests.helpers import GOLDEN

NO_BOX = np.full(5, np.nan)
BOX = RotatedBox(50, 60, 0.4, 20, 30)
IMAGE = np.zeros((64, 64))


def moved(dx, yaw=0.0):
    return RotatedBox(BOX.x + dx, BOX.y, BOX.yaw + yaw, BOX.width, BOX.height)


def test_score_iou_agrees_with_the_reference_on_400_pairs():
    pairs = np.load(GOLDEN / "iou_pairs.npz")
    for pred, true, expected in zip(pairs["pred"], pairs["true"], pairs["iou"], strict=True):
        score = score_iou(pred, true)
        if np.isnan(expected):
            assert score is None
        else:
            assert isinstance(score, float)
            assert abs(score - expected) < 1e-9


def test_score_iou_takes_boxes_in_every_form():
    assert score_iou(BOX, BOX.to_array()) == pytest.approx(1)
    assert score_iou(None, BOX) == score_iou(BOX, NO_BOX) == 0
    assert score_iou(None, [math.nan] * 5) is None


@pytest.mark.parametrize("bad", ["box", [1, 2, 3], [1, 2, 3, 4, math.nan], [1, 2, math.inf, 4, 5], [[1, 2, 3, 4, 5]]])
def test_score_iou_refuses_other_values(bad):
    with pytest.raises(ValueError, match="five finite numbers"):
        score_iou(bad, NO_BOX)
    with pytest.raises(ValueError, match="five finite numbers"):
        score_iou(NO_BOX, bad)


def test_every_kind_of_sample_is_counted():
    answers = [
        (Detection(BOX, 0.9), BOX),  # correct
        (Detection(moved(0, yaw=math.pi), 0.8), BOX),  # correct except for the heading
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
    assert report.heading_accuracy == pytest.approx(2 / 3)
    assert report.presence_accuracy == pytest.approx(4 / 6)
    assert report.ap_by_iou["0.50"] == pytest.approx(3 / 5)
    assert report.ap_by_iou["0.95"] == pytest.approx(2 / 5)
    assert report.ap_mean == pytest.approx(np.mean(list(report.ap_by_iou.values())))
    assert list(report.ap_by_iou) == ["0.50", "0.55", "0.60", "0.65", "0.70", "0.75", "0.80", "0.85", "0.90", "0.95"]
    assert report.ap_low < report.ap < report.ap_high
    assert "AP@0.7                              0.4000  (95 % interval " in str(report)


def test_ap_is_the_mean_of_score_iou_above_the_limit():
    rng = np.random.default_rng(0)
    targets = [None if rng.random() < 0.2 else moved(rng.uniform(0, 20)) for _ in range(200)]
    answers = [None if rng.random() < 0.2 else moved(rng.uniform(0, 20)) for _ in range(200)]
    remaining = iter(answers)
    report = evaluate(lambda _: next(remaining), [(IMAGE, target) for target in targets])

    def array(box):
        return NO_BOX if box is None else box.to_array()

    scores = [score_iou(array(answer), array(target)) for answer, target in zip(answers, targets, strict=True)]
    assert report.ap == pytest.approx(np.mean([score > 0.7 for score in scores if score is not None]))


def test_detectors_and_labels_may_have_every_form():
    class Batched:
        def __call__(self, image):
            raise AssertionError("detect_batch is preferred")

        def detect_batch(self, images):
            assert len(images) <= 2
            return [Detection(BOX, 0.5)] * len(images)

    scenes = [(IMAGE, BOX), (IMAGE, BOX.to_array()), (IMAGE, BOX.to_array().tolist())]
    for detector in (Batched(), lambda _: BOX, lambda _: BOX.to_array(), lambda _: tuple(BOX.to_array())):
        assert evaluate(detector, iter(scenes), batch_size=2).ap == 1
    for nothing in (None, NO_BOX):
        report = evaluate(lambda _, nothing=nothing: nothing, [(IMAGE, None), (IMAGE, NO_BOX)])
        assert (report.scored, report.ap, report.presence_accuracy) == (0, 0, 1)


def test_endless_scenes_need_a_count():
    assert evaluate(lambda _: None, SyntheticScenes(1), count=3).samples == 3


def test_invalid_calls_are_refused():
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        evaluate(lambda _: None, [(IMAGE, None)], batch_size=0)

    class Silent:
        def detect_batch(self, images):
            return []

    with pytest.raises(ValueError, match="must answer each of 1 images"):
        evaluate(Silent(), [(IMAGE, None)])


def test_evaluation_without_scenes_is_an_error():
    with pytest.raises(ValueError, match="^evaluation needs at least one scene, got none$"):
        evaluate(lambda _: None, [])


@pytest.mark.parametrize("score", [-2.3, 1.5, math.nan])
def test_scores_outside_0_to_1_are_refused(score):
    with pytest.raises(ValueError, match=r"score must lie in \[0, 1\]"):
        evaluate(lambda _: Detection(BOX, score), [(IMAGE, BOX)])


def test_heading_accuracy_of_correct_boxes_is_separate():
    answers = iter([moved(0, 0.2), moved(0, 0.4), moved(0, math.pi), moved(15, 3.0), None])
    report = evaluate(lambda _: next(answers), [(IMAGE, BOX)] * 5)
    assert report.ap == 0.6
    assert report.heading_accuracy == 0.5
    assert report.heading_accuracy_of_correct == pytest.approx(1 / 3)


def test_a_plain_function_gets_each_image_and_times_add_up(monkeypatch):
    images = [np.full((64, 64), value) for value in (0.1, 0.2, 0.3)]
    seen, clock = [], iter([10.0, 12.0, 20.0, 23.0])
    monkeypatch.setattr("centerdet.evaluation.metrics.time.perf_counter", lambda: next(clock))
    results = predict_all(lambda image: seen.append(image), [(image, None) for image in images], batch_size=2)
    assert all(one is other for one, other in zip(seen, images, strict=True))
    assert results.seconds == 5  # (12 - 10) + (23 - 20)
    assert summarise(results).images_per_second == 3 / 5
    assert results.scores.dtype == np.float64
    assert results.has_heading


class CountingDetector:
    """Finds the same box everywhere, and records the number of images in each call."""

    def __init__(self, has_heading=True, score=0.0):
        self.threshold, self.calibration, self.batch_sizes = 0.5, Calibration(), []
        self.answer = Detection(BOX, score, has_heading=has_heading)

    def detect_batch(self, images):
        self.batch_sizes.append(len(images))
        return [self.answer] * len(images)


@pytest.mark.parametrize("run", [evaluate, predict_all])
def test_the_default_batch_size_is_32(run):
    detector = CountingDetector()
    run(detector, [(IMAGE, BOX)] * 70)
    assert detector.batch_sizes == [32, 32, 6]
    detector.batch_sizes.clear()
    run(detector, [(IMAGE, BOX)] * 3, batch_size=1)
    assert detector.batch_sizes == [1, 1, 1]


def predict_all_boxes(*arguments, **options):
    return predict_all(*arguments, ignore_threshold=True, **options)


def predict_stages_of(detector, scenes, **options):
    """Runs ``predict_stages`` on a detector that stands for both stages; each call of refinement takes a second."""

    def detect_stages(images):
        answers = detector.detect_batch(images)
        return SimpleNamespace(unrefined=answers, refined=answers, refinement_seconds=1.0)

    refined = SimpleNamespace(threshold=0.5, unrefined=detector, detect_stages=detect_stages)
    return predict_stages(refined, scenes, **options)


def test_refinement_counts_in_the_time_of_the_second_stage_alone():
    detector = CountingDetector()
    before, after = predict_stages_of(detector, [(IMAGE, BOX)] * 70)
    assert detector.batch_sizes == [32, 32, 6]
    assert after.seconds - before.seconds == pytest.approx(3)


@pytest.mark.parametrize("run", [evaluate, predict_all, predict_all_boxes, predict_stages_of, calibrate])
@pytest.mark.parametrize(
    ("arguments", "count", "total", "disable"),
    [({}, 5, 5, True), ({"count": 3}, 3, 3, True), ({"count": 3, "progress": True}, 3, 3, None)],
)
def test_progress_is_shown_on_request_and_count_limits_the_scenes(run, arguments, count, total, disable, monkeypatch):
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

    monkeypatch.setattr("centerdet.evaluation.metrics.tqdm", Bar)
    detector = CountingDetector()
    run(detector, [(IMAGE, BOX)] * 5, **arguments)
    assert sum(detector.batch_sizes) == count
    assert [(bar.settings, bar.done) for bar in bars] == [
        ({"total": total, "unit": "image", "disable": disable, "leave": False}, count)
    ]
    bars.clear()
    run(CountingDetector(), iter([(IMAGE, BOX)] * 5), **arguments)
    assert bars[0].settings["total"] == arguments.get("count")  # the number is unknown


def test_results_have_headings_only_if_all_detections_have():
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


def test_a_score_of_0_is_kept():
    scores = predict_all(CountingDetector(score=0), [(IMAGE, BOX)]).scores
    assert (scores.tolist(), scores.dtype) == ([0], np.float64)


class ThresholdDetector(CountingDetector):
    """Reports the box if its score reaches the threshold, as detectors do."""

    def detect_batch(self, images):
        kept = self.answer.score >= self.threshold
        return [self.answer if kept else None for _ in images]


def test_the_threshold_can_be_ignored():
    detector = ThresholdDetector(score=0.1)
    assert not predict_all(detector, [(IMAGE, BOX)] * 2).has_prediction.any()
    results = predict_all(detector, [(IMAGE, BOX)] * 2, ignore_threshold=True)
    assert results.scores.tolist() == [0.1, 0.1]
    assert results.correct.all()
    assert detector.threshold == 0.5
    with pytest.raises(ValueError, match="five finite numbers"):
        predict_all(detector, [(IMAGE, "box")], ignore_threshold=True)
    assert detector.threshold == 0.5


def test_a_detector_without_a_threshold_needs_none():
    assert predict_all(lambda _: BOX, [(IMAGE, BOX)]).correct.all()


def test_seconds_and_boxes_belong_to_the_samples():
    answers = [Detection(moved(0), 0.9), None, Detection(moved(1), 0.8)]
    results = predict_all(lambda image: answers[int(image[0, 0])], [(IMAGE + i, BOX) for i in range(3)], batch_size=2)
    assert results.scores[[0, 2]].tolist() == [0.9, 0.8]
    assert np.isnan(results.scores[1])
    np.testing.assert_array_equal(results.predicted, [moved(0).to_array(), NO_BOX, moved(1).to_array()])
    np.testing.assert_array_equal(results.target, [BOX.to_array()] * 3)
    assert results.iou.tolist() == [score_iou(answer and answer.box, BOX) for answer in answers]
    assert results.seconds > 0


def test_stages_are_those_of_separate_runs():
    detector = centerdet.load("fast")
    refined, scenes = detector.with_refinement(), list(benchmark_scenes(5, 8))
    threshold = detector.threshold, refined.threshold
    stages = predict_stages(refined, scenes)
    assert (detector.threshold, refined.threshold) == threshold
    for stage, alone in zip(stages, (detector, refined), strict=True):
        results = predict_all(alone, scenes, ignore_threshold=True)
        for name in ("scores", "predicted", "target", "iou"):
            np.testing.assert_array_equal(getattr(stage, name), getattr(results, name))
    assert 0 < stages[0].seconds < stages[1].seconds
