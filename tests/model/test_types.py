import pytest
import torch

from centerdet.model.types import Batch, check_batch


def batch(**changes):
    boxes = torch.tensor([[30.0, 30.0, 0.5, 10.0, 20.0], [0.0] * 5])
    return Batch(torch.rand(2, 1, 64, 64), boxes, torch.tensor([True, False]))._replace(**changes)


def test_proper_batches_pass():
    check_batch(batch())
    check_batch(batch(boxes=torch.tensor([[30.0, 30.0, 0.5, 10.0, 20.0], [torch.nan] * 5])))  # a row without an object


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": torch.rand(2, 64, 64)}, r"got shapes \(2, 64, 64\), \(2, 5\), \(2,\)"),
        ({"images": torch.rand(2, 3, 64, 64)}, r"images \(B, 1, H, W\)"),
        ({"boxes": torch.zeros(2, 4)}, r"boxes \(B, 5\)"),
        ({"has_object": torch.ones(3, dtype=torch.bool)}, r"has_object \(B,\)"),
        ({"images": torch.zeros(2, 1, 64, 64, dtype=torch.uint8)}, r"images must be floats .* got torch\.uint8"),
        ({"has_object": torch.ones(2)}, r"has_object bool, got .*float32 and torch\.float32"),
        ({"images": torch.full((2, 1, 64, 64), 255.0)}, r"images must lie in \[0, 1\], got 255 to 255"),
        ({"images": torch.full((2, 1, 64, 64), torch.nan)}, "images must lie in"),
        ({"boxes": torch.full((2, 5), torch.nan)}, "boxes must be finite"),
        ({"boxes": torch.tensor([[30.0, 30.0, 0.5, 0.0, 20.0], [0.0] * 5])}, "sizes above 0"),
    ],
)
def test_other_batches_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        check_batch(batch(**changes))
