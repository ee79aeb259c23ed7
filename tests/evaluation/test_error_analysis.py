import math

import numpy as np
import pytest

from centerdet.box import paired_iou
from centerdet.evaluation.error_analysis import classify_errors, count_line_crossings, error_analysis
from centerdet.evaluation.report import EvaluationResults

OBJECT = [100.0, 100.0, 0.4, 20.0, 30.0]
NO_BOX = [math.nan] * 5


def results(*pairs):
    predicted, target = (np.array(boxes) for boxes in zip(*pairs, strict=True))
    both = ~np.isnan(predicted[:, 0]) & ~np.isnan(target[:, 0])
    iou = np.zeros(len(predicted))
    iou[both] = paired_iou(predicted[both], target[both])
    return EvaluationResults(scores=np.ones(len(predicted)), predicted=predicted, target=target, iou=iou, seconds=1.0)


@pytest.mark.parametrize(
    ("predicted", "target", "cause"),
    [
        (OBJECT, OBJECT, ""),
        (NO_BOX, NO_BOX, ""),
        (OBJECT, NO_BOX, "false alarm"),
        (NO_BOX, OBJECT, "missed"),
        ([30.0, 30.0, 0.4, 20.0, 30.0], OBJECT, "wrong place"),
        ([100.0, 100.0, 0.4 + math.pi, 20.0, 30.0], OBJECT, ""),  # half a turn does not change the IoU
        ([100.0, 100.0, 0.4 + math.pi / 2, 20.0, 30.0], OBJECT, "wrong heading axis"),
        ([100.0, 100.0, 0.4, 14.0, 60.0], [100.0, 100.0, 0.3, 14.0, 60.0], ""),
        ([100.0, 100.0, 0.55, 7.0, 60.0], [100.0, 100.0, 0.35, 7.0, 60.0], "wrong yaw"),  # 11 degrees
        ([100.0, 100.0, 0.65, 7.0, 60.0], [100.0, 100.0, 0.35, 7.0, 60.0], "wrong heading axis"),  # 17 degrees
        ([100.0, 100.0, 0.4, 30.0, 30.0], OBJECT, "wrong size"),
        ([106.0, 100.0, 0.4, 20.0, 30.0], OBJECT, "wrong centre"),
        ([110.0, 100.0, 0.4 + math.pi / 3, 30.0, 30.0], OBJECT, "several of these"),
    ],
)
def test_every_wrong_sample_has_one_cause(predicted, target, cause):
    assert classify_errors(results((predicted, target))).tolist() == [cause]


def test_lines_through_each_box_are_counted():
    through, beside, within = [0, 100, 199, 100], [0, 10, 199, 10], [98, 98, 102, 102]
    lines = [np.array([through, beside, within]), np.array([through]), np.zeros((0, 4))]
    assert count_line_crossings(np.array([OBJECT, NO_BOX, OBJECT]), lines).tolist() == [2, 0, 0]


def test_the_tables_add_up():
    pairs = [(OBJECT, OBJECT)] * 3 + [
        (OBJECT, NO_BOX),
        (NO_BOX, OBJECT),
        (NO_BOX, NO_BOX),
        (OBJECT, [12.0, 100.0, 0.4, 30.0, 60.0]),
    ]
    through = np.array([[0, 100, 199, 100]])
    text = error_analysis(results(*pairs), [through] * 3 + [np.zeros((0, 4))] * 4)
    rows = {line[:24].strip(): line[24:].split() for line in text.splitlines() if line}
    assert rows["missed"] == ["1", "16.67%"]
    assert rows["false alarm"] == ["1", "16.67%"]
    assert rows["wrong place"] == ["1", "16.67%"]
    assert rows["all"] == ["5", "60.00%", "0.600"]  # of the objects: the second of two rows with this name
    assert rows["cut by the border"] == ["1", "0.00%", "0.000"]
    assert rows["small (width < 22 px)"] == ["4", "75.00%", "0.750"]
    assert rows["crossed by 1 line"] == ["3", "100.00%", "1.000"]
    assert rows["whole, not crossed"] == ["1", "0.00%", "0.000"]


def test_results_without_errors_give_a_table():
    assert "0.00%" in error_analysis(results((OBJECT, OBJECT)), [np.zeros((0, 4))])
    assert error_analysis(results((NO_BOX, NO_BOX)), [np.zeros((0, 4))]).startswith("wrong, by cause")
