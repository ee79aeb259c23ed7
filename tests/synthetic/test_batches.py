import pytest
import torch

from centerdet.synthetic.batches import CurriculumConfig, Phase, SyntheticBatches


def test_series_are_repeatable_and_their_batches_differ():
    batches = SyntheticBatches(3, steps=4, curriculum=CurriculumConfig(batch_size=4))
    again = SyntheticBatches(3, steps=4, curriculum=CurriculumConfig(batch_size=4))
    torch.testing.assert_close(batches[2], again[2], rtol=0, atol=0)
    others = [batches[0], batches[1], SyntheticBatches(4, steps=4, curriculum=CurriculumConfig(batch_size=4))[2]]
    assert all(not torch.equal(batches[2].images, other.images) for other in others)
    assert all(not torch.equal(batches[2].boxes, other.boxes) for other in others)


def test_phases_follow_each_other():
    phases = (Phase(end_fraction=0.25, crop_size=64, num_lines=0), Phase(end_fraction=0.5, crop_size=96), Phase())
    config = CurriculumConfig(batch_size=2, ship_probability=0.0, phases=phases)
    batches = SyntheticBatches(0, steps=8, curriculum=config)
    assert [batches[step].images.shape[-1] for step in range(8)] == [64, 64, 96, 96, 200, 200, 200, 200]
    assert (batches[1].images <= 0.8).all()
    assert (batches[2].images > 0.8).any()
    with pytest.raises(IndexError, match="step must lie in"):
        batches[8]


@pytest.mark.parametrize(
    "arguments",
    [
        {"batch_size": 0},
        {"ship_probability": 2.0},
        {"phases": ()},
        {"phases": (Phase(end_fraction=0.5),)},
        {"phases": (Phase(end_fraction=0.7), Phase(end_fraction=0.3), Phase())},
    ],
)
def test_curricula_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match="must"):
        CurriculumConfig(**arguments)


@pytest.mark.parametrize("arguments", [{"end_fraction": 0.0}, {"end_fraction": 1.5}, {"num_lines": -1}])
def test_phases_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match=f"{next(iter(arguments))} must"):
        Phase(**arguments)


@pytest.mark.parametrize("crop_size", [63, 201])
def test_crop_sizes_out_of_range_are_refused(crop_size):
    with pytest.raises(ValueError, match=rf"crop_size must lie in 64\.\.200, got {crop_size}"):
        SyntheticBatches(0, steps=1, curriculum=CurriculumConfig(phases=(Phase(crop_size=crop_size),)))
