import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from centerdet import Detection, RotatedBox
from centerdet.evaluation import plots
from centerdet.evaluation.metrics import predict_all
from centerdet.evaluation.plots import draw_curves

BOX = RotatedBox(50, 60, 0.4, 20, 30)
IMAGE = np.zeros((64, 64))


def moved(dx, turn=0.0):
    return RotatedBox(BOX.x + dx, BOX.y, BOX.yaw + turn, BOX.width, BOX.height)


def make_results(*pairs):
    answers = iter([answer for answer, _ in pairs])
    return predict_all(lambda _: next(answers), [(IMAGE, target) for _, target in pairs])


@pytest.fixture
def results():
    return make_results(
        (Detection(BOX, 0.9), BOX),
        (Detection(moved(0, math.pi), 0.8), BOX),
        (Detection(moved(15), 0.7), BOX),
        (Detection(BOX, 0.2), None),
        (None, BOX),
    )


def draw(plot, results):
    """The axes of one plot, and its caption."""
    axes = Figure().add_subplot()
    return axes, plot(axes, results)


def test_four_curves_are_svg_elements_with_captions(results):
    curves = list(draw_curves(results, 0.5))
    assert all(svg.startswith("<svg") and svg.rstrip().endswith("</svg>") for svg, _ in curves)
    assert [caption.split()[0] for _, caption in curves] == ["Precision", "IoU", "Heading", "Score"]


def test_the_same_results_give_the_same_captions_and_no_date(results):
    (svg, _), *_ = draw_curves(results, 0.5)
    assert "<dc:date>" not in svg


def test_precision_and_recall_count_from_the_highest_score(results):
    axes, _ = draw(plots._precision_recall, results)
    recall, precision = axes.lines[0].get_data()
    assert recall.tolist() == [1 / 4, 2 / 4, 2 / 4, 2 / 4]
    assert precision.tolist() == pytest.approx([1, 1, 2 / 3, 2 / 4])


def test_the_iou_histogram_counts_pairs_of_boxes(results):
    axes, _ = draw(plots._iou_histogram, results)
    heights = [bar.get_height() for bar in axes.patches]
    assert (len(heights), sum(heights), heights[-1]) == (40, 3, 2)
    assert axes.lines[0].get_xdata()[0] == 0.7


def test_the_heading_histogram_counts_correct_boxes(results):
    axes, caption = draw(plots._heading_histogram, results)
    heights = [bar.get_height() for bar in axes.patches]
    assert (len(heights), heights[0], heights[-1], sum(heights)) == (60, 1, 1, 2)
    assert caption == "Heading error of the boxes with IoU > 0.7"
    assert axes.get_xlabel() == "heading error, degrees"
    axes, caption = draw(plots._heading_histogram, results._replace(has_heading=False))
    heights = [bar.get_height() for bar in axes.patches]
    assert (heights[0], sum(heights)) == (2, 2)  # half a turn is the same axis
    assert caption.startswith("Axis error")
    assert axes.patches[-1].get_x() + axes.patches[-1].get_width() == pytest.approx(90)


def test_the_reliability_diagram_shows_bins_with_detections(results):
    axes, caption = draw(plots._reliability_diagram, results)
    mean, fraction = axes.lines[1].get_data()
    assert mean.tolist() == pytest.approx([0.2, 0.7, 0.8, 0.9])
    assert fraction.tolist() == [0, 0, 1, 1]
    assert caption.endswith("Expected calibration error: 0.300")


def test_results_without_boxes_can_be_drawn():
    assert len(list(draw_curves(make_results((None, None)), 0.5))) == 4
