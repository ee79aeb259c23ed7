"""The dihedral group D4: the eight flips and quarter turns of a square, and what they do to images and vectors.

Elements are numbered 0 to 7. Elements 0..3 turn by 0, 90, 180 and 270 degrees, counter-clockwise on the screen.
Elements 4..7 mirror left and right, then turn by the same angles.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

ORDER = 8  # number of elements

# What each element does to a vector (x to the right, y down): the rows of a 2x2 matrix.
MATRICES = (
    ((1, 0), (0, 1)),  # identity
    ((0, 1), (-1, 0)),  # 90 degrees: right becomes up, down becomes right
    ((-1, 0), (0, -1)),  # 180 degrees
    ((0, -1), (1, 0)),  # 270 degrees
    ((-1, 0), (0, 1)),  # mirror: right becomes left
    ((0, 1), (1, 0)),  # mirror, 90 degrees: x and y change places
    ((1, 0), (0, -1)),  # mirror, 180 degrees: down becomes up
    ((0, -1), (-1, 0)),  # mirror, 270 degrees
)

# The factors by which each element multiplies sin 2a and cos 2a, for a direction (x, y) = (sin a, cos a). They follow
# from sin 2a = 2 x y and cos 2a = y^2 - x^2: mirroring x or y negates the first, exchanging x and y the second.
AXIS_SIGNS = ((1, 1), (-1, -1), (1, 1), (-1, -1), (-1, 1), (1, -1), (-1, 1), (1, -1))


def transform(array: Tensor, element: int) -> Tensor:
    """Moves the last two axes of an array ``(..., h, w)`` by an element of the group.

    Raises:
        ValueError: If ``element`` is not in 0..7.
    """
    if not 0 <= element < ORDER:
        raise ValueError(f"element must lie in 0..{ORDER - 1}, got {element}")
    return torch.rot90(array.flip(-1) if element >= 4 else array, element % 4, (-2, -1))


def matrices() -> Tensor:
    """Returns the matrix of each element for vectors (x, y), ``(8, 2, 2)`` float32."""
    return torch.tensor(MATRICES, dtype=torch.float32)


def axis_matrices() -> Tensor:
    """Returns the matrix of each element for (sin 2a, cos 2a), ``(8, 2, 2)`` float32."""
    return torch.diag_embed(torch.tensor(AXIS_SIGNS, dtype=torch.float32))


@cache
def kernel_index(kernel_size: int) -> Tensor:
    """Returns where each kernel of a group convolution comes from.

    The kernel from input element h to output element g is the one from ``g^-1 h`` to the identity, moved by g.

    Returns:
        ``(8 out, 8 in, k, k)`` indices into the ``8 * k * k`` weights of the kernels to the identity.
    """
    table = matrices()
    weights = torch.arange(ORDER * kernel_size**2).view(ORDER, kernel_size, kernel_size)
    kernels = []
    for element in range(ORDER):
        relative = table[element].T @ table  # (8, 2, 2): g^-1 h for every h; the inverse of a turn is its transpose
        source = [_element_of(matrix) for matrix in relative]
        kernels.append(torch.stack([transform(weights[index], element) for index in source]))  # (8, k, k)
    return torch.stack(kernels)


def _element_of(matrix: Tensor) -> int:
    """Returns the element with this matrix ``(2, 2)``."""
    return int((matrices() == matrix).all(-1).all(-1).nonzero())
