"""Hypotheses of the second stage, with an oracle in place of the network."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from centerdet.box import paired_iou
from centerdet.model.box_update import BoxUpdate, apply_delta, delta_between
from centerdet.model.hypotheses import HypothesesConfig, best_hypothesis
from tests.second_stage_helpers import SMALL, random_boxes


class Oracle:
    """A stage that knows the truth and moves half the way, a little at a time; it counts the boxes that it sees."""

    config = SMALL

    def __init__(self, truth: torch.Tensor) -> None:
        self.truth, self.seen = truth, 0

    def predict_updates(
        self, encoded: torch.Tensor, boxes: torch.Tensor, rows: torch.Tensor | None = None
    ) -> BoxUpdate:
        self.seen += boxes.shape[0]
        index = encoded[:, 0, 0, 0].long()  # the image holds its own index
        truth = self.truth[index if rows is None else index[rows]]
        delta = 0.5 * delta_between(boxes, truth).clamp(-0.1, 0.1)
        now, after = (self.quality(at, truth) for at in (boxes, apply_delta(boxes, delta)))
        return BoxUpdate(delta=delta, now=now, after=after)

    def quality(self, boxes: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        iou = torch.from_numpy(paired_iou(boxes, truth)).float()
        return (12 * iou - 8)[:, None].expand(-1, 4)


class HeadingOracle(Oracle):
    """An oracle for which half a turn is all that is wrong."""

    def quality(self, boxes: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        turn = delta_between(boxes, truth)[..., 2:3].abs()
        return torch.where(turn < 1, super().quality(boxes, truth), -8.0)


truth = random_boxes(4).float()
near = apply_delta(truth, torch.tensor([0.05, 0.05, 0.05, 0.05, 0.05]))
wrong = truth + torch.tensor([20.0, 0, 0, 0, 0])
encoded = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, 64, 64)
FULL = {"settled": 0.0, "min_peak": 0.0, "sure": 1.0}  # all work for every image


def find(
    peaks: list[torch.Tensor], *, oracle: Oracle | None = None, height: float = 0.9, **config: Any
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Boxes and confidences for the boxes of peaks, and the number of boxes that the stage saw."""
    oracle = oracle or Oracle(truth)
    settings = HypothesesConfig(peaks=len(peaks), **{"turns": (), **config})
    boxes, scores = best_hypothesis(
        oracle,
        encoded,
        peaks[0],
        torch.full((4,), height),
        lambda rows: torch.stack([*peaks[1:], peaks[0]], 1)[rows, : len(peaks) - 1],
        settings,
    )
    assert boxes[:, 2].abs().max() <= math.pi
    return boxes, scores, oracle.seen


@pytest.mark.parametrize(
    "changes",
    [
        {"passes": 0},
        {"passes": 33},
        {"alternative_passes": 0},
        {"peaks": 0},
        {"peaks": 33},
        {"turns": (7.0,)},
        {"turns": (math.nan,)},
        {"turns": (1.0,) * 33},
        {"sure": 1.5},
        {"sure": math.nan},
        {"min_peak": -0.1},
        {"min_gain": 1.1},
        {"settled": -1.0},
        {"settled": math.inf},
        {"settled": math.nan},
        {"score_level": -1},
        {"peak_weight": -0.5},
        {"peak_weight": 101.0},
        {"peak_weight": math.nan},
    ],
)
def test_a_setting_out_of_range_is_refused(changes: dict) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(changes))}.*got"):
        HypothesesConfig(**changes)


def test_passes_move_boxes_nearer() -> None:
    first, _, seen = find([near], passes=1, **FULL)
    last, _, more = find([near], passes=4, **FULL)
    before, once, often = (paired_iou(boxes, truth) for boxes in (near, first, last))
    assert (often > once).all()
    assert (once > before).all()
    assert (seen, more) == (4, 16)


def test_a_box_that_hardly_moved_is_not_moved_again() -> None:
    """Two images start at the truth, two beside it: only these go on."""
    start = torch.cat([truth[:2], near[2:]])
    adaptive, scores, seen = find([start], passes=4, settled=0.1)
    full, full_scores, all_seen = find([start], passes=4, **FULL)
    assert (seen, all_seen) == (4 + 2 * 3, 16)
    torch.testing.assert_close(adaptive, full, atol=1e-3, rtol=0)
    torch.testing.assert_close(scores, full_scores, atol=1e-4, rtol=0)


def test_all_work_stops_when_nothing_is_left_to_move() -> None:
    assert find([truth], passes=32, settled=0.1)[2] == 4


def test_a_low_peak_gets_one_pass_and_no_alternatives() -> None:
    low = find([near, wrong], height=0.1, passes=4, settled=0.0, sure=1.0, min_peak=0.2)
    assert low[2] == 4
    high = find([near, wrong], height=0.3, passes=4, settled=0.0, sure=1.0, min_peak=0.2, alternative_passes=2)
    assert high[2] == 16 + 8


def test_of_the_hypotheses_the_best_one_stays() -> None:
    boxes, _, _ = find([wrong, near], alternative_passes=3)
    assert paired_iou(boxes, truth).min() > 0.95
    boxes, _, _ = find([near, wrong], passes=3, sure=1.0)
    assert paired_iou(boxes, truth).min() > 0.95


def test_alternatives_are_tried_only_where_the_first_is_doubtful() -> None:
    mixed = torch.cat([near[:3], wrong[3:]])
    boxes, _, seen = find([mixed, near], passes=1, settled=0.0, alternative_passes=1, sure=0.5)
    assert seen == 4 + 1
    assert paired_iou(boxes, truth).min() > 0.7
    unchanged, _, _ = find([mixed], passes=1, settled=0.0, sure=0.5)
    torch.testing.assert_close(boxes[:3], unchanged[:3])


def test_between_equally_good_hypotheses_the_earlier_one_stays() -> None:
    """The other box is better by less than ``min_gain``: rounding must not decide."""
    slightly = apply_delta(truth, torch.tensor([0.048, 0.05, 0.05, 0.05, 0.05]))
    settings = {"passes": 1, "alternative_passes": 1, "settled": 0.0, "sure": 1.0}
    alone, _, _ = find([near], **settings)
    both, _, _ = find([near, slightly], min_gain=0.02, **settings)
    torch.testing.assert_close(both, alone)
    both, _, _ = find([near, slightly], min_gain=0.0, **settings)
    assert (paired_iou(both, truth) > paired_iou(alone, truth)).all()


def test_a_box_upside_down_is_turned() -> None:
    upside_down = near + torch.tensor([0, 0, math.pi, 0, 0])
    boxes, _, _ = find([upside_down], oracle=HeadingOracle(truth), turns=(math.pi,), alternative_passes=2)
    assert delta_between(boxes, truth)[:, 2].abs().max() < 0.1


def test_logits_that_are_not_finite_are_passed_on() -> None:
    class Broken(Oracle):
        def quality(self, boxes: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
            return torch.full((len(boxes), 4), math.nan)

    boxes, scores, _ = find([near, wrong], oracle=Broken(truth))
    assert torch.isfinite(boxes).all()
    assert scores.isnan().all()


def test_the_peak_counts_in_the_score() -> None:
    _, alone, _ = find([near], peak_weight=0.0)
    _, both, _ = find([near], peak_weight=1.0)
    np.testing.assert_allclose(torch.logit(both) - torch.logit(alone), math.log(9), rtol=1e-2)


@pytest.mark.parametrize("changes", [{}, FULL])
def test_an_exported_graph_gives_the_same_results(changes: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    """There, every box takes every pass, and masks choose."""
    mixed = torch.cat([truth[:1], near[1:3], wrong[3:]])
    boxes, scores, seen = find([mixed, near], **changes)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    same_boxes, same_scores, all_seen = find([mixed, near], **changes)
    torch.testing.assert_close(same_boxes, boxes)
    torch.testing.assert_close(same_scores, scores)
    assert all_seen == 4 * 4 + 4 * 3 >= seen
