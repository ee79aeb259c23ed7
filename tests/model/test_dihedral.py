import math

import pytest
import torch

from centerdet.model.dihedral import axis_matrices, kernel_index, matrices, transform


def test_the_eight_elements_differ_and_form_a_group():
    table = matrices()
    assert len({str(matrix.tolist()) for matrix in table}) == 8
    for first in table:
        for second in table:
            assert any(torch.equal(first @ second, matrix) for matrix in table)
    square = torch.arange(9.0).view(3, 3)
    assert len({str(transform(square, element).tolist()) for element in range(8)}) == 8


@pytest.mark.parametrize("element", range(8))
def test_the_written_matrices_are_those_of_torch_rot90_and_flip(element):
    columns = []
    for x, y in ((1, 0), (0, 1)):  # where a pixel to the right of, or below, the middle goes
        image = torch.zeros(3, 3)
        image[1 + y, 1 + x] = 1
        if element >= 4:
            image = torch.flip(image, dims=(1,))
        moved = torch.rot90(image, element % 4, dims=(0, 1))
        columns.append(moved.nonzero()[0].flip(0) - 1)  # (row, column) to (x, y)
    assert torch.equal(matrices()[element], torch.stack(columns, dim=1).float())


@pytest.mark.parametrize("element", range(8))
def test_transform_moves_a_pixel_as_the_matrices_do(element):
    image = torch.zeros(5, 5)
    image[2 + 1, 2 + 2] = 1  # x = 2, y = 1 from the middle
    y, x = (transform(image, element).nonzero()[0] - 2).tolist()
    assert matrices()[element] @ torch.tensor([2.0, 1.0]) == pytest.approx([x, y])


@pytest.mark.parametrize("element", range(8))
def test_axis_matrices_act_on_twice_the_angle(element):
    angle = 0.3  # from the y axis, as the yaw
    x, y = (matrices()[element] @ torch.tensor([math.sin(angle), math.cos(angle)])).tolist()
    moved = axis_matrices()[element] @ torch.tensor([math.sin(2 * angle), math.cos(2 * angle)])
    expected = 2 * math.atan2(x, y)
    assert moved.tolist() == pytest.approx([math.sin(expected), math.cos(expected)], abs=1e-6)


@pytest.mark.parametrize("element", [-1, 8])
def test_elements_out_of_range_are_refused(element):
    with pytest.raises(ValueError, match=rf"element must lie in 0\.\.7, got {element}"):
        transform(torch.zeros(3, 3), element)


@pytest.mark.parametrize("kernel_size", [1, 2, 3])
def test_every_weight_is_used_in_all_eight_orientations(kernel_size):
    index = kernel_index(kernel_size)
    assert index.shape == (8, 8, kernel_size, kernel_size)
    assert index.flatten().bincount().tolist() == [8] * (8 * kernel_size**2)
    assert index[0].flatten().tolist() == list(range(8 * kernel_size**2))
