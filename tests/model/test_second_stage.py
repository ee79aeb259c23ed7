"""The second stage: patches, updates, symmetry, loss, hypotheses, training that resumes exactly, and the detector."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from centerdet.box import box_corners as numpy_corners
from centerdet.box import box_to_image, paired_iou
from centerdet.detector.detector import Detector
from centerdet.detector.pretrained import load
from centerdet.detector.second_stage import SecondStageSetup
from centerdet.model.box_update import BoxUpdate, apply_delta, box_corners, delta_between
from centerdet.model.centernet import CenterNet, NetworkConfig
from centerdet.model.codec import Codec
from centerdet.model.hypotheses import HypothesesConfig, best_hypothesis
from centerdet.model.patches import patch_points, sample_patches
from centerdet.model.second_stage import SecondStage, SecondStageConfig, fuse_second_stage
from centerdet.model.second_stage_loss import SecondStageLossConfig, quality, second_stage_loss
from centerdet.synthetic.batches import CurriculumConfig, SyntheticBatches
from centerdet.training.second_stage_starts import StartBlocks, StartsConfig
from centerdet.training.second_stage_trainer import SecondStageTrainer, SecondStageTrainingConfig

SMALL = SecondStageConfig(rows=24, columns=16, channels=(4, 4, 4), depths=(1, 1, 0), hidden=(8, 4))


def random_boxes(count: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    size = rng.uniform(18, 40, (count, 2))
    boxes = np.column_stack([rng.uniform(60, 140, (count, 2)), rng.uniform(-math.pi, math.pi, count), size])
    return torch.from_numpy(boxes)


def trained_like(config: SecondStageConfig = SMALL, in_channels: int = 3) -> SecondStage:
    """A stage whose batch norms have seen something, and whose heads say something."""
    torch.manual_seed(0)
    stage = SecondStage(in_channels, config)
    for head in (stage.odd, stage.even):
        torch.nn.init.normal_(head.weight, std=0.1)
    for _ in range(3):
        stage(torch.rand(16, in_channels, config.rows, config.columns), 20 + 20 * torch.rand(16, 2))
    return stage.eval()


def tiny_detector(stage: SecondStage | None = None, hypotheses: HypothesesConfig | None = None) -> Detector:
    torch.manual_seed(1)
    network = CenterNet(NetworkConfig(channels=(8,), num_blocks=(1,)))
    setup = None if stage is None else SecondStageSetup(network=stage, hypotheses=hypotheses or HypothesesConfig())
    return Detector(network, Codec(stride=4), threshold=0.0, second_stage=setup)


class TestPatches:
    y, x = torch.meshgrid(*[torch.arange(200.0, dtype=torch.float64)] * 2, indexing="ij")

    def test_samples_lie_where_box_to_image_puts_them(self) -> None:
        """Of an image whose values are x and y, a patch holds the coordinates of its samples."""
        boxes, points = random_boxes(6), patch_points(8, 6, 1.5).double()
        log_likelihood_ratio = torch.stack([self.x, self.y])[None].expand(2, -1, -1, -1)
        patches = sample_patches(log_likelihood_ratio, boxes.view(2, 3, 5), points).flatten(0, 1)
        wanted = box_to_image(boxes, points.T[None] * boxes[:, None, 3:])
        np.testing.assert_allclose(patches[:, :2].movedim(1, 2), wanted, atol=1e-9)
        assert (patches[:, 2] == 1).all()

    def test_outside_the_image_there_is_nothing(self) -> None:
        boxes = torch.tensor([[[0.0, 50.0, 0.0, 40.0, 20.0]]])
        patches = sample_patches(torch.ones(1, 1, 100, 100), boxes, patch_points(8, 8, 1.0)).view(2, 8, 8)
        assert (patches[:, :, :4] == 0).all()
        assert torch.allclose(patches[:, :, 4:], torch.ones(2, 8, 4))

    def test_each_box_sees_its_own_image(self) -> None:
        images = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 1, 64, 64)
        boxes = torch.tensor([30.0, 30.0, 1.0, 10.0, 10.0]).expand(3, 2, 5)
        patches = sample_patches(images, boxes, patch_points(8, 8, 1.0))
        assert torch.allclose(patches[:, :, 0].mean(2), torch.arange(3.0)[:, None].expand(3, 2))

    def test_a_box_that_fits_looks_the_same_at_every_place_heading_and_size(self) -> None:
        """A smooth blob in a box's own frame gives the same patch, whatever the box."""
        patches = []
        for box in random_boxes(4):
            dx, dy, sin, cos = self.x - box[0], self.y - box[1], box[2].sin(), box[2].cos()
            u, v = (dx * cos - dy * sin) / box[3], (dx * sin + dy * cos) / box[4]
            image = torch.exp(-4 * ((u - 0.2) ** 2 + (v + 0.1) ** 2))
            patches.append(sample_patches(image[None, None], box[None, None], patch_points(16, 16, 1.5).double()))
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


class Oracle:
    """A stage that knows the truth, moves half the way, and only a little at a time; it counts its looks."""

    config = SMALL

    def __init__(self, truth: torch.Tensor) -> None:
        self.truth, self.looks = truth, 0

    def predict_updates(self, log_likelihood_ratio: torch.Tensor, boxes: torch.Tensor) -> BoxUpdate:
        self.looks += boxes.shape[0] * boxes.shape[1]
        truth = self.truth[log_likelihood_ratio[:, 0, 0, 0].long()][:, None].expand_as(
            boxes
        )  # the image says which one it is
        delta = 0.5 * delta_between(boxes, truth).clamp(-0.1, 0.1)
        now, after = (self.quality(at, truth) for at in (boxes, apply_delta(boxes, delta)))
        return BoxUpdate(delta=delta, now=now, after=after)

    def quality(self, boxes: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        iou = torch.from_numpy(paired_iou(boxes.flatten(0, 1), truth.flatten(0, 1))).float()
        return (12 * iou - 8).view(*boxes.shape[:2], 1).expand(-1, -1, 4)


class TestHypotheses:
    truth = random_boxes(4).float()
    near = apply_delta(truth, torch.tensor([0.05, 0.05, 0.05, 0.05, 0.05]))
    wrong = truth + torch.tensor([20.0, 0, 0, 0, 0])
    log_likelihood_ratio = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, 64, 64)
    heights = torch.tensor([[0.9, 0.5]]).expand(4, -1)

    @pytest.mark.parametrize("wrong", [{"beam": (4, 1)}, {"beam": (3, 1, 2)}, {"passes": 0}, {"sure": 1.5}])
    def test_a_wrong_config_is_refused(self, wrong: dict) -> None:
        with pytest.raises(ValueError, match="got"):
            HypothesesConfig(**wrong)

    def find(self, peaks: list[torch.Tensor], **config: Any) -> tuple[torch.Tensor, torch.Tensor, int]:
        oracle = Oracle(self.truth)
        config = HypothesesConfig(peaks=len(peaks), **config)
        boxes, scores = best_hypothesis(oracle, self.log_likelihood_ratio, torch.stack(peaks, 1), self.heights, config)
        assert boxes[:, 2].abs().max() <= math.pi
        return boxes, scores, oracle.looks

    def test_passes_move_boxes_nearer(self) -> None:
        first, _, looks = self.find([self.near], turns=(), beam=(), passes=1)
        last, _, more = self.find([self.near], turns=(), beam=(), passes=4)
        before, once, often = (paired_iou(boxes, self.truth) for boxes in (self.near, first, last))
        assert (often > once).all()
        assert (once > before).all()
        assert (looks, more) == (4, 16)

    def test_of_the_hypotheses_the_best_one_stays(self) -> None:
        boxes, _, _ = self.find([self.wrong, self.near], turns=(), beam=(1, 1, 1))
        assert paired_iou(boxes, self.truth).min() > 0.95

    def test_a_box_upside_down_is_turned(self) -> None:
        """With an oracle for which half a turn is all that was wrong."""
        upside_down = self.near + torch.tensor([0, 0, math.pi, 0, 0])

        class HeadingOracle(Oracle):
            def quality(self, boxes: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
                turn = delta_between(boxes, truth)[..., 2:3].abs()
                return torch.where(turn < 1, super().quality(boxes, truth), -8.0)

        config = HypothesesConfig(peaks=1, beam=(1, 1))
        boxes, _ = best_hypothesis(
            HeadingOracle(self.truth), self.log_likelihood_ratio, upside_down[:, None], self.heights, config
        )
        assert delta_between(boxes, self.truth)[:, 2].abs().max() < 0.1

    def test_alternatives_cost_nothing_where_the_first_is_sure(self) -> None:
        _, _, sure = self.find([self.near, self.wrong], turns=(), beam=(1,), sure=0.1)
        _, _, doubtful = self.find([self.near, self.wrong], turns=(), beam=(1,), sure=1.0)
        assert (sure, doubtful) == (16, 20)

    def test_the_peak_counts_in_the_score(self) -> None:
        _, alone, _ = self.find([self.near], turns=(), beam=(), peak_weight=0.0)
        _, both, _ = self.find([self.near], turns=(), beam=(), peak_weight=1.0)
        np.testing.assert_allclose(torch.logit(both) - torch.logit(alone), math.log(9), rtol=1e-2)


class TestTraining:
    def trainer(self, folder, blocks: int = 2) -> SecondStageTrainer:
        torch.manual_seed(3)
        first_stage = tiny_detector()
        source = SyntheticBatches(4, steps=blocks, curriculum=CurriculumConfig(batch_size=6))
        starts = StartBlocks(source, [first_stage], seed=4, config=StartsConfig(starts=4), folder=folder / "peaks")
        config = SecondStageTrainingConfig(blocks=blocks, batch_shares=(4, 2, 2), warmup_steps=2, precision="float32")
        return SecondStageTrainer(
            SecondStage(3, SMALL),
            first_stage.network.log_likelihood_ratio,
            starts,
            loss=SecondStageLossConfig(),
            config=config,
            directory=folder,
            settings={"blocks": blocks},
        )

    def test_a_resumed_run_goes_exactly_the_same_way(self, tmp_path) -> None:
        whole = self.trainer(tmp_path)
        first = whole.train_block()
        whole.checkpoint()
        second = whole.train_block()
        resumed = self.trainer(tmp_path)
        resumed.resume()
        assert resumed.block == 1
        assert resumed.train_block() == second
        assert first != second
        for name, tensor in whole.ema.state_dict().items():
            assert torch.equal(resumed.ema.state_dict()[name], tensor), name

    def test_other_settings_are_refused(self, tmp_path) -> None:
        self.trainer(tmp_path).checkpoint()
        with pytest.raises(ValueError, match="settings differ"):
            self.trainer(tmp_path, blocks=3).resume()

    def test_starts_are_repeatable_and_peaks_are_kept(self, tmp_path) -> None:
        one, other = self.trainer(tmp_path).blocks, self.trainer(tmp_path / "else").blocks
        assert torch.equal(one[1].boxes, other[1].boxes)
        assert (tmp_path / "peaks" / "block-00001.safetensors").exists()
        assert torch.equal(one[1].boxes, one[1].boxes)
        assert not torch.equal(one[0].boxes, one[1].boxes)


class TestDetector:
    images = np.random.default_rng(0).random((3, 80, 96)).astype(np.float32)

    def test_saved_and_loaded_it_answers_the_same(self, tmp_path) -> None:
        detector = tiny_detector(trained_like())
        detector.save(tmp_path / "both.safetensors")
        loaded = Detector.load(tmp_path / "both.safetensors")
        assert loaded.second_stage is not None
        assert loaded.second_stage.hypotheses == HypothesesConfig()
        assert loaded.detect_batch(self.images) == detector.detect_batch(self.images)

    def test_it_changes_the_answers_and_not_the_candidates(self) -> None:
        without, detector = tiny_detector(), tiny_detector(trained_like())
        assert without.detect(self.images[0]) != detector.detect(self.images[0])
        for one, other in zip(without.candidates(self.images, 2), detector.candidates(self.images, 2), strict=True):
            np.testing.assert_array_equal(one, other)

    def test_damage_is_noticed(self, tmp_path) -> None:
        stage = trained_like()
        stage.odd.weight.data[0, 0] = math.nan
        tiny_detector(stage).save(tmp_path / "nan.safetensors")
        with pytest.raises(ValueError, match="second stage holds NaN"):
            Detector.load(tmp_path / "nan.safetensors")

    def test_exported_it_answers_the_same(self, tmp_path) -> None:
        pytest.importorskip("onnxruntime")
        from centerdet.export import OnnxDetector, export_onnx

        stage = trained_like()
        for head in (stage.odd, stage.even):
            head.weight.data *= 0.1  # small moves, as a trained stage makes them where a box fits
        fast = load("fast")
        detector = Detector(fast.network, fast.codec, threshold=0.0, second_stage=SecondStageSetup(network=stage))
        export_onnx(detector, tmp_path / "model.onnx", image_size=(80, 96))
        exported = OnnxDetector(tmp_path / "model.onnx", threads=1)
        for wanted, got in zip(detector.detect_batch(self.images), exported.detect_batch(self.images), strict=True):
            np.testing.assert_allclose(got.box.corners(), wanted.box.corners(), atol=1e-3)
