import base64
import re

import cv2
import numpy as np
import pytest

import centerdet
from centerdet import RotatedBox
from centerdet.evaluation import html_report
from centerdet.evaluation.html_report import render_html_report
from centerdet.evaluation.metrics import predict_all
from centerdet.evaluation.report import EvaluationResults, summarise
from tests.helpers import make_detector


@pytest.fixture(scope="module")
def evaluated():
    """A detector, its results and the scenes; the first has no object, and most have a detection."""
    detector = make_detector()
    scenes = [(image, box) for image, box in centerdet.benchmark_scenes(3, 15)]
    scenes[0] = (scenes[0][0], None)
    return detector, predict_all(detector, scenes, ignore_threshold=True), scenes


def test_the_page_needs_no_other_file(evaluated):
    page = render_html_report(*evaluated, title="a & b")
    assert page.startswith("<!doctype html>")
    assert page.endswith("</body></html>\n")
    assert page.count("<svg") == 4
    assert "<title>centerdet: a &amp; b</title>" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)


def test_scores_are_those_above_the_threshold(evaluated):
    detector, results, scenes = evaluated
    report = summarise(results.above(detector.threshold))
    page = render_html_report(detector, results, scenes, title="t")
    for name, value in report.rows():
        name = name.replace(">", "&gt;")
        assert f"<td>{name}</td>" in page
        assert f"<td>{value}</td>" in page
    assert f"15 images, score threshold {detector.threshold:g}. AP@0.7 (task definition)" in page


def test_galleries_hold_up_to_twelve_pictures(evaluated):
    page = render_html_report(*evaluated, title="t")
    assert re.findall(r"<h2>(.*?)</h2>", page) == ["Curves", "Error analysis", "Worst", "Median", "Best"]
    assert page.count("data:image/jpeg;base64,") == 3 * 12
    data = re.search(r"data:image/jpeg;base64,([^\"]+)", page).group(1)
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (200, 200, 3)  # enlarged by whole factors only


def test_captions_name_the_image_and_the_outcome(evaluated):
    detector, results, scenes = evaluated
    page = render_html_report(detector, results, scenes, title="t", names=[f"<{i}>" for i in range(15)])
    assert "<figcaption>&lt;0&gt;: false alarm</figcaption>" in page
    above = results.above(detector.threshold)
    index = int(np.flatnonzero(above.has_prediction & above.has_target)[0])
    outcome = f"IoU {above.iou[index]:.2f}, score {above.scores[index]:.2f}"
    assert f"<figcaption>&lt;{index}&gt;: {outcome}</figcaption>" in page
    assert "<figcaption>image 1: false alarm</figcaption>" in render_html_report(detector, results, scenes, title="t")


def test_a_missed_object_is_named(evaluated):
    detector, results, scenes = evaluated
    results = results._replace(scores=np.full(15, 0.0))  # all below the threshold
    page = render_html_report(detector, results, scenes, title="t")
    assert "image 1:" not in page  # no object and no detection: not scored
    assert ": missed</figcaption>" in page


def test_lines_add_the_second_table(evaluated):
    assert "crossed by" not in render_html_report(*evaluated, title="t")
    page = render_html_report(*evaluated, title="t", lines=[np.array([[0, 100, 199, 100]])] * 15)
    assert "crossed by" in page


def test_examples_are_chosen_by_iou():
    iou = np.arange(40) / 40
    box = RotatedBox(50, 60, 0.4, 20, 30).to_array()
    boxes = np.tile(box, (40, 1))
    boxes[39] = np.nan
    results = EvaluationResults(scores=np.ones(40), predicted=boxes, target=boxes, iou=iou, seconds=1.0)
    galleries = html_report._choose_examples(results)
    assert galleries["Worst"] == list(range(12))
    assert galleries["Median"] == list(range(13, 25))
    assert galleries["Best"] == list(range(38, 26, -1))  # 39 has no box


def test_a_page_of_one_image(evaluated):
    detector, _, scenes = evaluated
    results = predict_all(detector, scenes[1:2], ignore_threshold=True)
    page = render_html_report(detector, results, scenes[1:2], title="t")
    assert page.count("data:image/jpeg;base64,") == 3
