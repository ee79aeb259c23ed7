import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from centerdet import CenterLoss, Codec, LossConfig
from centerdet.model.losses import focal_loss, weighted_l1
from centerdet.model.types import Prediction


def example(count=2, cells=4):
    generator = torch.Generator().manual_seed(0)
    heatmap = torch.rand(count, 1, cells, cells, generator=generator, dtype=torch.double) * 0.9
    mask = torch.zeros_like(heatmap, dtype=torch.bool)
    mask[:, 0, 2, 3] = True
    logits = torch.randn(count, 1, cells, cells, generator=generator, dtype=torch.double)
    return logits, torch.where(mask, 1.0, heatmap), mask


def test_focal_loss_follows_its_formula():
    logits, heatmap, mask = example()
    p = logits.sigmoid()
    expected = torch.where(mask, -((1 - p) ** 2) * p.log(), -((1 - heatmap) ** 4) * p**2 * (1 - p).log()).sum() / 2
    assert focal_loss(logits, heatmap, mask).item() == pytest.approx(expected.item(), rel=1e-5)


def test_focal_loss_with_exponents_of_0_is_cross_entropy():
    logits, heatmap, mask = example()
    expected = binary_cross_entropy_with_logits(logits, mask.double(), reduction="sum") / 2
    assert focal_loss(logits, heatmap, mask, alpha=0, beta=0).item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_gradient_of_focal_loss_matches_finite_differences():
    logits, heatmap, mask = example()
    logits = logits.float().requires_grad_()
    focal_loss(logits, heatmap, mask).backward()
    step = 1e-3
    for index in range(logits.numel()):
        moved = torch.zeros_like(logits).view(-1)
        moved[index] = step
        moved = moved.view_as(logits)
        with torch.no_grad():
            up, down = (focal_loss(logits + sign * moved, heatmap, mask) for sign in (1, -1))
        assert logits.grad.view(-1)[index].item() == pytest.approx((up - down).item() / (2 * step), abs=2e-3)


def test_focal_loss_stays_finite_at_extreme_logits():
    logits, heatmap, mask = example()
    for extreme in (-1e4, 1e4):
        values = torch.full_like(logits, extreme).requires_grad_()
        loss = focal_loss(values, heatmap, mask)
        loss.backward()
        assert torch.isfinite(loss)
        assert torch.isfinite(values.grad).all()


def test_weighted_l1_is_the_weighted_mean():
    predicted, target = torch.zeros(1, 2, 1, 2), torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])
    assert weighted_l1(predicted, target, torch.tensor([[[[3.0, 1.0]]]])) == pytest.approx((3 * 4 + 6) / 4)
    assert weighted_l1(predicted, target, torch.zeros(1, 1, 1, 2)) == 0


def targets(*, has_object=True):
    boxes = torch.tensor([[40.0, 50.0, 1.0, 20.0, 30.0], [60.0, 30.0, 4.0, 25.0, 30.0]])
    return Codec().encode(boxes, torch.tensor([has_object, has_object]), (96, 96))


def test_the_loss_is_0_for_the_target_and_grows_with_each_error():
    target = targets()
    truth = Prediction(
        center=torch.where(target.mask, 20.0, -20.0), size=target.size, yaw=target.yaw, offset=target.offset
    )
    terms = CenterLoss()(truth, target)
    assert all(term.item() == pytest.approx(0, abs=1e-6) for term in terms)
    for name in ("size", "yaw", "offset"):
        worse = CenterLoss()(truth._replace(**{name: getattr(truth, name) + 0.1}), target)
        assert getattr(worse, name).item() == pytest.approx(0.2, rel=1e-4)  # two channels, 0.1 each
        assert worse.total > terms.total


def test_total_is_the_weighted_sum():
    prediction = Prediction(*(torch.randn(2, channels, 24, 24) for channels in (1, 2, 2, 2)))
    terms = CenterLoss(LossConfig(size=2.0, yaw=3.0, offset=5.0))(prediction, targets())
    expected = terms.center + 2 * terms.size + 3 * terms.yaw + 5 * terms.offset
    assert terms.total.item() == pytest.approx(expected.item(), rel=1e-6)


def test_boxes_are_learned_near_the_centre_alone():
    target = targets()
    far = target.heatmap < LossConfig().min_heatmap
    zero = Prediction(*(torch.zeros(2, channels, 24, 24) for channels in (1, 2, 2, 2)))
    changed = zero._replace(size=torch.where(far, 100.0, zero.size))
    assert CenterLoss()(changed, target).size == CenterLoss()(zero, target).size


@pytest.mark.parametrize(
    "arguments",
    [
        *({name: -1e-3} for name in ("alpha", "beta", "size", "yaw", "offset", "min_heatmap")),
        *({"min_heatmap": min_heatmap} for min_heatmap in (0.0, 1.001)),
    ],
)
def test_settings_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match="must be at least 0, min_heatmap must lie"):
        LossConfig(**arguments)


def test_weights_of_0_and_a_min_heatmap_of_1_are_allowed():
    config = LossConfig(alpha=0.0, beta=0.0, size=0.0, yaw=0.0, offset=0.0, min_heatmap=1.0)
    prediction = Prediction(*(torch.ones(2, channels, 24, 24) for channels in (1, 2, 2, 2)))
    target = targets()
    terms = CenterLoss(config)(prediction, target)
    assert terms.total == terms.center
    centre_cells = (prediction.size - target.size).abs().sum(1, keepdim=True)[target.mask]  # the cells of heatmap 1
    assert terms.size.item() == pytest.approx(centre_cells.mean().item(), rel=1e-5)


def test_the_config_sets_the_exponents_of_the_focal_loss():
    prediction = Prediction(*(torch.linspace(-3, 3, 2 * 24 * 24).view(2, 1, 24, 24) for _ in range(4)))
    target = targets()
    for alpha, beta in ((1.0, 4.0), (2.0, 1.0)):
        center = CenterLoss(LossConfig(alpha=alpha, beta=beta))(prediction, target).center
        expected = focal_loss(prediction.center, target.heatmap, target.mask, alpha=alpha, beta=beta)
        assert center == expected != focal_loss(prediction.center, target.heatmap, target.mask)


def test_sums_are_divided_by_at_least_one_object_but_by_small_weights_as_they_are():
    logits, heatmap, mask = example(count=1)
    none = torch.zeros_like(mask)
    negative = -((1 - heatmap) ** 4) * logits.sigmoid() ** 2 * (1 - logits.sigmoid()).log()
    assert focal_loss(logits, heatmap, none).item() == pytest.approx(negative.sum().item(), rel=1e-5)
    positive = -((1 - logits.sigmoid()) ** 2) * logits.sigmoid().log()
    both = torch.where(mask, positive, negative).sum().item()
    assert focal_loss(logits, heatmap, mask).item() == pytest.approx(both, rel=1e-5)
    zero = torch.zeros(1, 2, 1, 1)
    assert weighted_l1(zero + 1, zero, torch.full((1, 1, 1, 1), 0.01)).item() == pytest.approx(2)


def test_a_batch_without_objects_has_a_finite_loss_and_no_box_gradients():
    prediction = Prediction(*(torch.randn(2, channels, 24, 24).requires_grad_() for channels in (1, 2, 2, 2)))
    terms = CenterLoss()(prediction, targets(has_object=False))
    terms.total.backward()
    assert all(torch.isfinite(term) for term in terms)
    assert terms.size == terms.yaw == terms.offset == 0
    assert prediction.center.grad.abs().sum() > 0
    assert prediction.size.grad.abs().sum() == 0


def test_relative_errors_of_small_and_large_objects_weigh_the_same():
    codec, losses = Codec(), {}
    for relative in (False, True):
        for extent in (16.0, 96.0):
            boxes = torch.tensor([[32.0, 32.0, 0.3, extent, extent]])
            target = codec.encode(boxes, torch.tensor([True]), (64, 64))
            exact = Prediction(target.heatmap * 10, target.size, target.yaw, target.offset)
            wrong = exact._replace(size=exact.size * 1.1)  # a tenth too large
            loss = CenterLoss(LossConfig(relative=relative))
            losses[relative, extent] = (loss(wrong, target).size - loss(exact, target).size).item()
    assert losses[False, 96.0] == pytest.approx(6 * losses[False, 16.0], rel=1e-3)
    assert losses[True, 96.0] == pytest.approx(losses[True, 16.0], rel=1e-3)
    assert losses[True, 16.0] == pytest.approx(0.2, rel=1e-3)  # a tenth in each direction
