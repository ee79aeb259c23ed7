import math

import numpy as np
import pytest
import torch

from centerdet import Codec, CodecConfig, RotatedBox, score_iou
from centerdet.box import yaw_error
from centerdet.model.types import Prediction
from centerdet.synthetic.batches import draw_batch
from centerdet.synthetic.scenes import ScenesConfig

SIZE = (200, 200)


def perfect(target):
    """The prediction of a network that has learned its target exactly."""
    heatmap = target.heatmap.clamp(1e-6, 1 - 1e-6)
    return Prediction(center=heatmap.logit(), size=target.size, yaw=target.yaw, offset=target.offset)


def as_tensors(*boxes):
    return torch.tensor(np.array([box.to_array() for box in boxes])), torch.ones(len(boxes), dtype=torch.bool)


@pytest.mark.parametrize(("stride", "count"), [(4, 2000), (8, 2000), (2, 600), (1, 200)])
def test_decode_inverts_encode_for_all_boxes_of_synthetic_scenes(stride, count):
    rng = np.random.Generator(np.random.SFC64(0))
    boxes = draw_batch(rng, count, scenes=ScenesConfig(ship_probability=1.0)).boxes.double()
    codec = Codec(stride=stride)
    has_object = torch.ones(100, dtype=torch.bool)
    decoded = torch.cat([codec.decode(perfect(codec.encode(part, has_object, SIZE)))[0] for part in boxes.split(100)])
    assert (decoded - boxes)[:, [0, 1, 3, 4]].abs().max() < 0.05  # px
    assert yaw_error(decoded[:, 2], boxes[:, 2]).max() < 0.01  # rad


def test_decode_inverts_encode_for_fractional_centres_and_odd_image_sizes():
    rng = np.random.default_rng(0)
    for height, width in [(64, 64), (65, 131), (203, 70)]:
        boxes = [
            RotatedBox(rng.uniform(0, width - 1), rng.uniform(0, height - 1), yaw, 20, 31)
            for yaw in rng.uniform(-3.1, 3.1, 50)
        ]
        codec = Codec()
        decoded, scores = codec.decode(perfect(codec.encode(*as_tensors(*boxes), (height, width))))
        np.testing.assert_allclose(decoded, [box.to_array() for box in boxes], atol=0.01)
        assert (scores > 0.999).all()


def test_a_decoded_target_has_a_score_of_1():
    box = RotatedBox(31.25, 77.5, 2.0, 20, 30)
    codec = Codec()
    decoded, _ = codec.decode(perfect(codec.encode(*as_tensors(box), SIZE)))
    assert score_iou(decoded[0], box.to_array()) == pytest.approx(1, abs=1e-4)


def test_encode_puts_the_peak_in_the_centres_cell():
    codec = Codec(stride=4)
    boxes = [RotatedBox(x, 85.5, 0.3, 20, 30) for x in (41.5, 43.4, 43.6)]
    target = codec.encode(*as_tensors(*boxes), SIZE)
    assert target.heatmap.shape == (3, 1, 50, 50)
    # Cell 10 covers pixels 40..43, its centre is 41.5; 43.6 is nearer to the centre of cell 11 (pixels 44..47).
    assert target.mask.nonzero().tolist() == [[0, 0, 21, 10], [1, 0, 21, 10], [2, 0, 21, 11]]
    assert target.heatmap[target.mask].tolist() == [1.0, 1.0, 1.0]
    assert target.offset[0, :, 21, 10].tolist() == [0, 0]
    assert target.offset[0, :, 20, 12].tolist() == [-2, 1]


def test_the_gaussian_has_the_documented_width():
    config = CodecConfig(sigma_ratio=0.1, min_sigma=0.1)
    target = Codec(stride=2, config=config).encode(*as_tensors(RotatedBox(50.5, 60.5, 0, 30, 40)), SIZE)
    sigma = 0.1 * math.sqrt(30 * 40)  # px
    # Cell [31, 28] has its centre at (56.5, 62.5), 6 px right of and 2 px below the box's.
    assert target.heatmap[0, 0, 31, 28] == pytest.approx(math.exp(-(6**2 + 2**2) / (2 * sigma**2)), rel=1e-5)


def test_the_gaussian_of_small_objects_has_the_minimal_width():
    target = Codec().encode(*as_tensors(RotatedBox(41.5, 41.5, 0, 1, 1)), SIZE)
    assert target.heatmap[0, 0, 10, 11] == pytest.approx(math.exp(-1 / (2 * 0.6**2)), rel=1e-5)


def test_size_and_yaw_maps_have_the_documented_units():
    target = Codec(config=CodecConfig(size_unit=10)).encode(*as_tensors(RotatedBox(50, 60, 0.5, 20, 30)), SIZE)
    assert (target.size[0, 0] == 2).all()
    assert (target.size[0, 1] == 3).all()
    assert target.yaw[0, :, 3, 3].tolist() == pytest.approx([math.sin(0.5), math.cos(0.5)])


@pytest.mark.parametrize(
    ("x", "y", "cell"), [(-30, 20.5, [5, 0]), (20.5, -30, [0, 5]), (400, 20.5, [5, 17]), (20.5, 400, [15, 5])]
)
def test_a_centre_outside_the_image_is_learned_at_the_nearest_cell_of_the_border(x, y, cell):
    target = Codec(stride=4).encode(*as_tensors(RotatedBox(x, y, 0.3, 80, 120)), (64, 70))
    assert target.mask.nonzero().tolist() == [[0, 0, *cell]]
    assert target.heatmap[target.mask].tolist() == [1.0]


def test_without_a_heading_boxes_half_a_turn_apart_are_the_same():
    boxes = [RotatedBox(60, 70, yaw, 20, 31) for yaw in (1.0, 1.0 - math.pi, -0.7, -0.7 + math.pi)]
    codec = Codec(has_heading=False)
    target = codec.encode(*as_tensors(*boxes), SIZE)
    torch.testing.assert_close(target.yaw[::2], target.yaw[1::2], atol=1e-5, rtol=0)
    decoded, _ = codec.decode(perfect(target))
    assert decoded[:, 2].tolist() == pytest.approx([1.0, 1.0, -0.7, -0.7], abs=1e-4)


def test_encode_and_decode_work_on_the_device_of_their_input():
    boxes, has_object = (tensor.to("meta") for tensor in as_tensors(RotatedBox(60, 70, 1.0, 20, 31)))
    target = Codec().encode(boxes, has_object, SIZE)
    decoded = Codec().decode(Prediction(target.heatmap, target.size, target.yaw, target.offset))
    assert {part.device.type for part in (*target, *decoded)} == {"meta"}


def test_an_image_without_an_object_has_an_empty_target():
    boxes = torch.tensor([[0.0] * 5, [math.nan] * 5])
    target = Codec().encode(boxes, torch.zeros(2, dtype=torch.bool), SIZE)
    assert not target.heatmap.any()
    assert not target.mask.any()
    assert all(torch.isfinite(part).all() for part in target)


def test_decode_weights_cells_by_the_heatmap():
    center = torch.full((1, 1, 8, 8), -20.0)
    center[0, 0, 4, 3], center[0, 0, 4, 4] = torch.tensor([0.75, 0.25]).logit()
    size = torch.ones(1, 2, 8, 8)
    size[0, :, 4, 4] = 2.0
    zero = torch.zeros(1, 2, 8, 8)
    yaw = zero.clone()
    yaw[:, 0] = 1.0
    boxes, scores = Codec(stride=4).decode(Prediction(center=center, size=size, yaw=yaw, offset=zero))
    # x: cells 3 and 4 have their centres at 13.5 and 17.5; size: 32 and 64 px
    assert boxes[0].tolist() == pytest.approx([14.5, 17.5, math.pi / 2, 40, 40], abs=1e-4)
    assert scores[0] == pytest.approx(0.75)


def test_decode_ignores_distant_cells_and_those_outside_the_map():
    center = torch.full((1, 1, 8, 8), -20.0)
    center[0, 0, 0, 7] = 3.0
    center[0, 0, 5, 5] = 2.9
    maps = torch.zeros(1, 2, 8, 8)
    boxes, _ = Codec().decode(Prediction(center=center, size=maps + 1, yaw=maps + 1, offset=maps))
    assert boxes[0].tolist() == pytest.approx([29.5, 1.5, math.pi / 4, 32, 32], abs=1e-4)


@pytest.mark.parametrize("has_heading", [True, False])
@pytest.mark.parametrize("decode_window", [1, 3, 5, 7])
def test_decode_equals_a_loop_over_cells(decode_window, has_heading):
    """Compares decode with the documented steps, cell by cell, for a peak at every place of the map."""
    rows, columns, stride, unit = 5, 6, 4, 32.0
    rng = torch.Generator().manual_seed(decode_window)
    for peak in range(rows * columns):
        maps = Prediction(*(torch.randn(1, n, rows, columns, generator=rng).double() for n in (1, 2, 2, 2)))
        maps.center.flatten()[peak] = 4.0
        maps.size.abs_().add_(0.2)
        total, sums = 0.0, np.zeros(6)
        for row in range(
            max(0, peak // columns - decode_window // 2), min(rows, peak // columns + decode_window // 2 + 1)
        ):
            for column in range(
                max(0, peak % columns - decode_window // 2), min(columns, peak % columns + decode_window // 2 + 1)
            ):
                size, yaw, offset = (part[0, :, row, column].numpy() for part in maps[1:])
                place = [column * stride + 1.5, row * stride + 1.5] + offset * stride
                weight = maps.center[0, 0, row, column].sigmoid().item()
                total, sums = total + weight, sums + weight * np.concatenate([size * unit, yaw, place])
        width, height, sin, cos, x, y = sums / total
        codec = Codec(
            stride=stride, has_heading=has_heading, config=CodecConfig(decode_window=decode_window, size_unit=unit)
        )
        boxes, scores = codec.decode(maps)
        expected = [x, y, math.atan2(sin, cos) / (1 if has_heading else 2), width, height]
        np.testing.assert_allclose(boxes[0].numpy(), expected, rtol=1e-4, atol=1e-4)
        assert scores.item() == pytest.approx(1 / (1 + math.exp(-4)))


def test_the_heatmap_is_interpolated_between_the_cells_centres():
    center = torch.tensor([[0.2, 0.4, 0.6], [0.1, 0.3, 0.5]]).logit()[None, None]
    maps = torch.zeros(1, 2, 2, 3)
    heatmap = Codec(stride=4).heatmap(Prediction(center=center, size=maps, yaw=maps, offset=maps), (7, 10))
    assert heatmap.shape == (1, 7, 10)
    assert heatmap[0, 0, 0].item() == pytest.approx(0.2)  # constant outside the outer cells' centres
    between = [heatmap[0, row, column].item() for row, column in ((1, 4), (2, 4))]  # x = 1.5 and 5.5: cells 0 and 1
    top, bottom = (low + (high - low) * 2.5 / 4 for low, high in ((0.2, 0.4), (0.1, 0.3)))
    assert between == pytest.approx([top, top + (bottom - top) * 0.5 / 4], abs=1e-6)


def test_decoded_boxes_have_a_positive_extent():
    maps = torch.zeros(1, 2, 8, 8)
    boxes, _ = Codec().decode(Prediction(center=maps[:, :1], size=maps - 1, yaw=maps, offset=maps))
    assert boxes[0, 3:].tolist() == [1, 1]


@pytest.mark.parametrize(
    "arguments",
    [
        {"decode_window": 2},
        {"decode_window": -1},
        {"size_unit": 0},
        {"sigma_ratio": -1.0},
        {"size_unit": math.nan},
        {"min_sigma": math.inf},
    ],
)
def test_settings_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match=r"must be odd|must lie in \[0.001, 10,000\]"):
        CodecConfig(**arguments)


@pytest.mark.parametrize("value", [0.001, 10_000])
def test_the_ends_of_the_ranges_are_allowed(value):
    config = CodecConfig(size_unit=value, sigma_ratio=value, min_sigma=value, decode_window=99)
    assert (config.size_unit, config.sigma_ratio, config.min_sigma) == (value, value, value)


def test_without_its_peak_a_heatmap_has_the_next_one():
    codec = Codec()
    first, second = RotatedBox(60, 80, 1.0, 24, 36), RotatedBox(150, 120, -2.0, 30, 40)
    a, b = (perfect(codec.encode(*as_tensors(box), SIZE)) for box in (first, second))
    both = Prediction(*(torch.where(a.center >= b.center, x, y) for x, y in zip(a, b, strict=True)))
    both = both._replace(center=torch.maximum(a.center + 1, b.center))
    decoded = [codec.decode(maps)[0][0].tolist() for maps in (both, codec.without_peak(both))]
    for box, expected in zip(decoded, (first, second), strict=True):
        assert score_iou(box, expected) > 0.95


def test_each_image_of_a_batch_loses_its_own_peak():
    rng = torch.Generator().manual_seed(0)
    maps = Prediction(*(torch.randn(3, channels, 12, 15, generator=rng) for channels in (1, 2, 2, 2)))
    together = Codec().without_peak(maps).center
    for index in range(3):
        alone = Codec().without_peak(Prediction(*(part[index : index + 1] for part in maps))).center[0]
        assert torch.equal(together[index], alone)
        assert (alone != maps.center[index]).sum() <= 25
        assert alone.max() < maps.center[index].max()
