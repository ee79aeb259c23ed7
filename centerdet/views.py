"""The eight views of an image, flips and quarter turns, and the way back for what the network says of each.

Averaging the maps of several views (test-time augmentation) makes boxes steadier, at one pass of the network a view.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from centerdet.maps import Prediction

# Each view: whether to flip left-right, to flip up-down, then to swap x and y. The first n are the best n:
# as it is, half turn, quarter turns, mirrorings.
VIEWS = (
    (False, False, False),
    (True, True, False),
    (True, False, True),
    (False, True, True),
    (True, False, False),
    (False, True, False),
    (False, False, True),
    (True, True, True),
)


def predict_views(network: nn.Module, images: Tensor, *, views: int, stride: int) -> Prediction:
    """Averages what a network says of the first ``views`` views of images.

    Args:
        network: Image -> ``Prediction``.
        images: ``(B, 1, H, W)``.
        views: From 1, the image as it is, to 8.
        stride: The network's.

    Returns:
        Maps of the images as they are; the average of the logits, not of the probabilities.
    """
    if views == 1:
        return network(images)
    height, width = images.shape[-2:]
    rows, columns = -(-height // stride), -(-width // stride)
    # Cells of a flipped image fall onto cells of the image itself only if they fill it.
    images = pad(images, (0, columns * stride - width, 0, rows * stride - height), mode="replicate")
    said = [view_back(network(view_image(images, view)), view) for view in VIEWS[:views]]
    return Prediction(*(torch.stack(maps).mean(0) for maps in zip(*said, strict=True)))


def view_image(images: Tensor, view: tuple[bool, bool, bool]) -> Tensor:
    """Flips and swaps the last two axes, y and x, of images or maps ``(..., H, W)``."""
    left_right, up_down, swap = view
    flipped = images.flip([axis for axis, flip in ((-1, left_right), (-2, up_down)) if flip])
    return flipped.transpose(-1, -2) if swap else flipped


def view_back(prediction: Prediction, view: tuple[bool, bool, bool]) -> Prediction:
    """Turns the maps of a view into maps of the image as it is."""
    left_right, up_down, swap = view

    def back(maps: Tensor) -> Tensor:
        unswapped = maps.transpose(-1, -2) if swap else maps
        return view_image(unswapped, (left_right, up_down, False))

    def back_vector(maps: Tensor) -> Tensor:  # (x, y) as channels; the heading is one too: (sin yaw, cos yaw)
        signs = torch.tensor([-1.0 if left_right else 1.0, -1.0 if up_down else 1.0], device=maps.device)
        return back(maps).flip(1 if swap else []) * signs[:, None, None]

    return Prediction(
        center=back(prediction.center),
        size=back(prediction.size),
        yaw=back_vector(prediction.yaw),
        offset=back_vector(prediction.offset),
    )
