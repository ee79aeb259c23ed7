import html
import math
import re

import numpy as np
import pytest

from centerdet import Detection, RotatedBox
from centerdet.evaluation.metrics import evaluate, predict_all
from centerdet.evaluation.report import EvaluationResults, summarise, wilson_interval

BOX = RotatedBox(50, 60, 0.4, 20, 30)
IMAGE = np.zeros((64, 64))
NO_BOX = np.full(5, np.nan)


def moved(dx):
    return RotatedBox(BOX.x + dx, BOX.y, BOX.yaw, BOX.width, BOX.height)


def test_wilson_interval_agrees_with_published_values():
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe (1998), table I, method 3
    assert wilson_interval(0, 20) == pytest.approx((0, 0.1611), abs=1e-4)
    assert wilson_interval(0, 0) == (0, 1)


def test_a_threshold_removes_detections():
    scored = iter([Detection(BOX, 0.9), Detection(BOX, 0.4), Detection(BOX, 0.3), None])
    results = predict_all(lambda _: next(scored), [(IMAGE, BOX), (IMAGE, BOX), (IMAGE, None), (IMAGE, None)])
    report = summarise(results.above(0.35))
    assert (report.ap, report.false_alarms, report.misses) == (1, 0, 0)
    report = summarise(results.above(0.5))
    assert (report.ap, report.false_alarms, report.misses) == (0.5, 0, 1)
    assert summarise(results.above(0)).false_alarms == 1


def test_properties_of_results():
    box = BOX.to_array()
    results = EvaluationResults(
        scores=np.array([0.9, 0.8, np.nan, np.nan]),
        predicted=np.array([box, box, NO_BOX, NO_BOX]),
        target=np.array([box, NO_BOX, box, NO_BOX]),
        iou=np.array([0.71, 0.0, 0.0, 0.0]),
        seconds=2.0,
    )
    assert results.has_prediction.tolist() == [True, True, False, False]
    assert results.has_target.tolist() == [True, False, True, False]
    assert results.scored.tolist() == [True, True, True, False]
    assert results.correct.tolist() == [True, False, False, False]
    assert not results._replace(iou=np.full(4, 0.7)).correct.any()  # above, not at, the limit
    assert np.isnan(results.heading_errors()).tolist() == [False, True, True, True]


@pytest.mark.parametrize(
    ("has_heading", "error", "degrees"),
    [(True, math.pi, 180), (False, math.pi, 0), (True, 2.0, 114.59), (False, 2.0, 65.41), (True, -0.1, 5.73)],
)
def test_heading_errors_of_axes_ignore_half_turns(has_heading, error, degrees):
    box = BOX.to_array()
    results = EvaluationResults(
        scores=np.ones(1),
        predicted=box[None] + [[0, 0, error, 0, 0]],
        target=box[None],
        iou=np.ones(1),
        seconds=1.0,
        has_heading=has_heading,
    )
    assert results.heading_errors() == pytest.approx([degrees], abs=0.01)


def test_results_below_the_threshold_lose_their_boxes():
    answers = iter([Detection(BOX, 0.9), Detection(BOX, 0.4)])
    results = predict_all(lambda _: next(answers), [(IMAGE, BOX)] * 2).above(0.5)
    assert results.has_prediction.tolist() == [True, False]
    assert np.isnan(results.scores).tolist() == [False, True]
    assert results.iou == pytest.approx([1, 0])


@pytest.mark.parametrize(("has_heading", "yaw"), [(True, "heading"), (False, "axis")])
def test_rows_are_in_plain_words(has_heading, yaw):
    answers = iter([Detection(BOX, 0.9, has_heading=has_heading), None, None])
    report = evaluate(lambda _: next(answers), [(IMAGE, BOX), (IMAGE, BOX), (IMAGE, None)])
    rows = dict(report.rows())
    assert list(rows) == [
        "AP@0.7",
        "AP@[0.50:0.95]",
        "mean IoU",
        f"{yaw} within 30 deg",
        f"{yaw} within 15 deg if IoU > 0.7",
        "calibration error",
        "false alarms",
        "misses",
        "presence accuracy",
        "samples",
        "samples with any box",
        "images per second",
    ]
    assert rows["AP@0.7"].startswith("0.5000  (95 % interval 0.0945 to 0.9055)")
    assert (rows["misses"], rows["false alarms"], rows["presence accuracy"]) == ("1", "0", "0.6667")
    assert (rows["samples"], rows["samples with any box"]) == ("3", "2")
    lines = str(report).splitlines()
    assert [line[:36].strip() for line in lines] == list(rows)
    assert [line[36:] for line in lines] == list(rows.values())
    assert all("  " in line for line in lines)  # a gap between name and value
    cells = re.findall("<th>(.*?)</th><td>(.*?)</td>", report._repr_html_())
    assert [tuple(map(html.unescape, row)) for row in cells] == report.rows()


def test_a_report_is_made_of_plain_numbers():
    report = evaluate(lambda _: BOX, [(IMAGE, BOX)])
    values = report.to_dict()
    assert list(values) == [
        *("samples", "scored", "ap", "ap_low", "ap_high", "ap_mean", "ap_by_iou", "mean_iou", "false_alarms", "misses"),
        *("presence_accuracy", "heading_accuracy", "heading_accuracy_of_correct", "calibration_error"),
        *("images_per_second", "has_heading"),
    ]
    assert {type(value) for value in values.values()} == {int, float, bool, dict}


def test_speed_without_a_time_is_zero():
    results = predict_all(lambda _: BOX, [(IMAGE, BOX)])._replace(seconds=0.0)
    assert summarise(results).images_per_second == 0
