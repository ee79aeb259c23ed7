"""What the network sees of an image: log-likelihood ratios of a known background, or standardised pixels.

Standardised pixels do not depend on the contrast and the offset of the image.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

Normalization = Literal["none", "image", "local"]
# Channels of each encoding; of a known noise level: 2.
CHANNELS: dict[Normalization, int] = {"none": 1, "image": 1, "local": 2}

# The log of uniform noise has a standard deviation of 1 and no lower bound. Scaled, it varies about as much as the
# other input channel (0 or 1). The bound affects 2.5 % of the background's pixels.
MIN_LOG_RATIO = -3.0  # nat
LOG_RATIO_SCALE = 0.5  # input units per nat

MAX_DEVIATION = 4.0  # standard deviations; brighter and darker pixels look like this
DEVIATION_SCALE = 0.5  # input units per standard deviation
LOCAL_SIDE = 33  # px, a power of two plus one, of the window of local standardisation: 8 cells
LOCAL_FLOOR = 0.15  # smallest local standard deviation, in those of the image: flat areas stay flat
MIN_STD = 1e-3  # of the full scale: a quarter of a grey level of 8 bits; flat images stay flat


def log_likelihood_ratio(images: Tensor, noise_level: float, out: Tensor | None = None) -> Tensor:
    """Encodes each pixel by how much more likely it is for an object than for a uniform background.

    The background is uniform in [0, n), with n = ``noise_level``. A pixel of an object is the larger of a uniform
    value in [0, 1) and the background. So a pixel v above n is never background. Below n, the log-likelihood ratio
    is ``log(2 v / n)`` up to a constant.

    Args:
        images: ``(B, 1, H, W)`` in [0, 1].
        noise_level: Upper bound of the background.
        out: Where to put the result.

    Returns:
        ``(B, 2, H, W)``: 1 above n and 0 below; and the ratio below n, bounded and scaled, 0 above.
    """
    # In place, since new memory takes as long as the arithmetic; comparisons and masks would take twice as long.
    above = (images - noise_level).sign_().clamp_(min=0)
    ratio = (2 * images).div_(noise_level).clamp_(min=math.exp(MIN_LOG_RATIO)).log_().mul_(LOG_RATIO_SCALE)
    return torch.cat([above, ratio.mul_(1 - above)], dim=1, out=out)


def standardise(images: Tensor, *, local: bool, out: Tensor | None = None) -> Tensor:
    """Encodes each pixel by its distance from the mean in standard deviations, bounded and scaled.

    Args:
        images: ``(B, 1, H, W)`` in [0, 1].
        local: Add a second channel with mean and standard deviation of the pixel's surroundings.
        out: Where to put the result.

    Returns:
        ``(B, 1, H, W)`` or ``(B, 2, H, W)``.
    """
    centred = images - images.mean((2, 3), keepdim=True)
    std = centred.square().mean((2, 3), keepdim=True).sqrt().clamp(min=MIN_STD)
    deviations = centred / std
    channels = [deviations]
    if local:
        mean = _local_mean(deviations)
        variance = (_local_mean(deviations.square()) - mean.square()).clamp(min=LOCAL_FLOOR**2)
        channels.append((deviations - mean) / variance.sqrt())
    return torch.cat(channels, 1, out=out).clamp_(-MAX_DEVIATION, MAX_DEVIATION).mul_(DEVIATION_SCALE)


def _local_mean(images: Tensor) -> Tensor:
    """The mean of the part of the window that lies in the image."""
    for _ in range(2):  # along the rows, then along the columns
        images = (_window_sums(images) / _window_sums(torch.ones_like(images[:1, :, :1]))).transpose(2, 3)
    return images


def _window_sums(images: Tensor) -> Tensor:
    """Sums of ``LOCAL_SIDE`` pixels of a row, 0 outside the image.

    Sums of 2, 4, 8, ... pixels are each made of two smaller ones: six additions in place of 33.
    """
    padded = sums = pad(images, (LOCAL_SIDE // 2, LOCAL_SIDE // 2))
    width = 1
    while width < LOCAL_SIDE - 1:
        sums = sums[..., :-width] + sums[..., width:]
        width *= 2
    return sums[..., :-1] + padded[..., width:]
