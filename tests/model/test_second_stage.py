"""The second stage: patches, updates, symmetry, and loss."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from centerdet.box import box_corners as numpy_corners
from centerdet.box import box_to_image
from centerdet.model.box_update import BoxUpdate, apply_delta, box_corners, delta_between
from centerdet.model.patches import patch_points, sample_patches
from centerdet.model.second_stage import SecondStage, SecondStageConfig, fuse_second_stage
from centerdet.model.second_stage_loss import SecondStageLossConfig, quality, second_stage_loss
from tests.second_stage_helpers import SMALL, random_boxes, trained_like


class TestPatches:
    y, x = torch.meshgrid(*[torch.arange(200.0, dtype=torch.float64)] * 2, indexing="ij")

    def test_samples_lie_where_box_to_image_puts_them(self) -> None:
        """Of an image whose values are x and y, a patch holds the coordinates of its samples."""
        boxes, points = random_boxes(6), patch_points(8, 6, 1.5).double()
        encoded = torch.stack([self.x, self.y])[None].expand(2, -1, -1, -1)
        patches = sample_patches(encoded, boxes, points, torch.arange(2).repeat_interleave(3))
        wanted = box_to_image(boxes, points.T[None] * boxes[:, None, 3:])
        np.testing.assert_allclose(patches[:, :2].movedim(1, 2), wanted, atol=1e-9)
        assert (patches[:, 2] == 1).all()

    def test_outside_the_image_there_is_nothing(self) -> None:
        boxes = torch.tensor([[0.0, 50.0, 0.0, 40.0, 20.0]])
        patches = sample_patches(torch.ones(1, 1, 100, 100), boxes, patch_points(8, 8, 1.0)).view(2, 8, 8)
        assert (patches[:, :, :4] == 0).all()
        assert torch.allclose(patches[:, :, 4:], torch.ones(2, 8, 4))

    @pytest.mark.parametrize("rows", [None, [2, 0, 0, 1]])
    def test_each_box_sees_its_own_image(self, rows) -> None:
        images = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 1, 64, 64)
        wanted = torch.tensor(rows or [0, 1, 2])
        boxes = torch.tensor([30.0, 30.0, 1.0, 10.0, 10.0]).expand(len(wanted), 5)
        patches = sample_patches(images, boxes, patch_points(8, 8, 1.0), None if rows is None else wanted)
        assert torch.allclose(patches[:, 0].mean(1), wanted.float())

    def test_a_box_that_fits_looks_the_same_at_every_place_heading_and_size(self) -> None:
        """A smooth blob in a box's own frame gives the same patch, whatever the box."""
        patches = []
        for box in random_boxes(4):
            dx, dy, sin, cos = self.x - box[0], self.y - box[1], box[2].sin(), box[2].cos()
            u, v = (dx * cos - dy * sin) / box[3], (dx * sin + dy * cos) / box[4]
            image = torch.exp(-4 * ((u - 0.2) ** 2 + (v + 0.1) ** 2))
            patches.append(sample_patches(image[None, None], box[None], patch_points(16, 16, 1.5).double()))
        for patch in patches[1:]:
            assert (patch - patches[0]).abs().max() < 0.02


class TestUpdates:
    def test_delta_between_is_the_inverse_of_apply_delta(self) -> None:
        boxes, targets = random_boxes(50, 1), random_boxes(50, 2)
        reached = apply_delta(boxes, delta_between(boxes, targets))
        turn = torch.remainder(reached[:, 2] - targets[:, 2] + math.pi, 2 * math.pi) - math.pi
        assert torch.allclose(reached[:, [0, 1, 3, 4]], targets[:, [0, 1, 3, 4]])
        assert turn.abs().max() < 1e-9

    def test_shifts_are_across_and_along_the_heading(self) -> None:
        boxes = random_boxes(5)
        delta = torch.zeros(5, 5, dtype=torch.float64)
        delta[:, 0], delta[:, 1] = 0.25, -0.5
        wanted = box_to_image(boxes, (torch.tensor([[0.25, -0.5]]) * boxes[:, 3:])[:, None])[:, 0]
        np.testing.assert_allclose(apply_delta(boxes, delta)[:, :2], wanted)

    def test_without_a_heading_a_half_turn_is_no_way(self) -> None:
        boxes = random_boxes(5)
        turned = boxes + torch.tensor([0, 0, math.pi, 0, 0], dtype=torch.float64)
        assert delta_between(boxes, turned, has_heading=False).abs().max() < 1e-6
        assert (delta_between(boxes, turned)[:, 2].abs() - math.pi).abs().max() < 1e-6

    def test_corners_are_those_of_the_box_module(self) -> None:
        boxes = random_boxes(5)
        np.testing.assert_allclose(box_corners(boxes), numpy_corners(boxes))


class TestNetwork:
    def test_a_mirrored_patch_negates_shift_across_and_turn_and_nothing_else(self) -> None:
        stage = trained_like()
        patches, sizes = torch.rand(5, 3, 24, 16), 20 + 20 * torch.rand(5, 2)
        for network in (stage, stage.train()):  # batch norms, too, treat both halves alike
            update, mirrored = network(patches, sizes), network(patches.flip(-1), sizes)
            assert torch.allclose(mirrored.delta, update.delta * torch.tensor([-1.0, 1, -1, 1, 1]), atol=1e-5)
            assert torch.allclose(mirrored.now, update.now, atol=1e-5)
            assert torch.allclose(mirrored.after, update.after, atol=1e-5)
            assert update.delta.abs().mean(0).min() > 0

    def test_fused_gives_the_same(self) -> None:
        stage = trained_like()
        patches, sizes = torch.rand(5, 3, 24, 16), 20 + 20 * torch.rand(5, 2)
        for wanted, got in zip(stage(patches, sizes), fuse_second_stage(stage)(patches, sizes), strict=True):
            assert torch.allclose(wanted, got, atol=1e-5)

    def test_parameters_of_the_default(self) -> None:
        assert sum(parameter.numel() for parameter in SecondStage(3).parameters()) < 500_000

    @pytest.mark.parametrize(
        "wrong",
        [{"rows": 20}, {"channels": (3, 4, 4)}, {"margin": 0.0}, {"quality_levels": (1.0,)}, {"depths": (1, 1)}],
    )
    def test_a_wrong_config_is_refused(self, wrong: dict) -> None:
        with pytest.raises(ValueError, match="got"):
            SecondStageConfig(**wrong)


class TestLoss:
    def update(self, delta: torch.Tensor, logit: float) -> BoxUpdate:
        logits = torch.full((len(delta), len(SMALL.quality_levels)), logit)
        return BoxUpdate(delta=delta.requires_grad_(), now=logits, after=logits.clone().requires_grad_())

    def test_the_right_update_costs_nothing(self) -> None:
        targets = random_boxes(8).float()
        boxes = apply_delta(targets, 0.05 * torch.randn(8, 5, generator=torch.Generator().manual_seed(0)))
        has_object, config = torch.ones(8, dtype=torch.bool), SecondStageLossConfig()
        right, none = (
            second_stage_loss(self.update(delta, 20.0), boxes, targets, has_object, SMALL, config)
            for delta in (delta_between(boxes, targets), torch.zeros(8, 5))
        )
        assert right.corners < 1e-5
        assert right.after < 1e-5
        assert none.corners > 0.01

    def test_empty_images_teach_quality_alone(self) -> None:
        boxes, targets = random_boxes(4).float(), torch.zeros(4, 5)
        update = self.update(torch.zeros(4, 5), 0.0)
        has_object = torch.zeros(4, dtype=torch.bool)
        terms = second_stage_loss(update, boxes, targets, has_object, SMALL, SecondStageLossConfig())
        terms.total.backward()
        assert torch.isfinite(terms.total)
        assert terms.corners == 0
        assert (update.delta.grad == 0).all()
        assert (update.after.grad > 0).all()

    def test_far_starts_teach_quality_alone(self) -> None:
        targets = random_boxes(3).float()
        far = apply_delta(targets, torch.tensor([[0.0, 0.9, 0, 0, 0], [0, 0, 2.0, 0, 0], [0, 0, 0, 0.9, 0]]))
        update, has_object = self.update(torch.zeros(3, 5), 0.0), torch.ones(3, dtype=torch.bool)
        assert second_stage_loss(update, far, targets, has_object, SMALL, SecondStageLossConfig()).corners == 0

    def test_quality_wants_the_heading_where_there_is_one(self) -> None:
        targets = random_boxes(3).float()
        turned, has_object = targets + torch.tensor([0, 0, math.pi, 0, 0]), torch.ones(3, dtype=torch.bool)
        axis = SecondStageConfig(has_heading=False)
        assert (quality(targets, targets, has_object, SMALL) == 1).all()
        assert (quality(turned, targets, has_object, SMALL) == 0).all()
        assert (quality(turned, targets, has_object, axis) == 1).all()
