import pytest
import torch

from centerdet.detector.device import check_device


@pytest.mark.parametrize("name", ["mps", "meta", "hpu", "mkldnn", "abacus", "", "cpu:-1", "a b", "\ud800"])
def test_a_device_that_cannot_be_used_is_one_short_line(name):
    if name == "mps" and torch.backends.mps.is_available():
        name = "vulkan"
    with pytest.raises(ValueError, match="^cannot use device .*; choose cpu, or a GPU that torch can use$") as caught:
        check_device(name)
    assert len(str(caught.value)) < 250


def test_a_device_is_given_as_torch_knows_it():
    assert check_device("cpu") == check_device(torch.device("cpu")) == torch.device("cpu")
