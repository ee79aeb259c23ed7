"""Trains a detector on images that a function draws: darts of another shape, size and noise than the task's scenes.

    python examples/darts.py                            # both stages: about 15 minutes on one core
    python examples/darts.py --steps 100 --blocks 1     # a short trial

To train on other images, replace ``draw``: it takes a ``numpy.random.Generator`` and returns an image and a box or
``None``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage.draw import disk, polygon

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # runs from a checkout without installation

import centerdet
from centerdet.cli.errors import Parser, fail_cleanly
from centerdet.cli.options import add_device_option, select_device
from centerdet.training.defaults import second_stage_recipe

HEIGHT, WIDTH = 160, 208  # px
BACKGROUND, NOISE_STD = 0.35, 0.12  # of the full scale
MARGIN = 15  # px from a dart's centre to the border
# Outline of a dart as (u, v), u across and v along the heading, in fractions of the box's width and height.
CORNERS = [(0.0, 0.5), (-0.5, 0.05), (-0.15, 0.05), (-0.15, -0.5), (0.15, -0.5), (0.15, 0.05), (0.5, 0.05)]


def draw(rng: np.random.Generator) -> tuple[NDArray[np.float64], centerdet.RotatedBox | None]:
    """Draws one scene: discs as distractors, a dart with probability 0.8, and Gaussian noise.

    Returns:
        The image ``(H, W)`` in [0, 1], and the dart's box or ``None``.
    """
    image = np.full((HEIGHT, WIDTH), BACKGROUND)
    for _ in range(rng.integers(6)):
        center = rng.uniform(0, (HEIGHT, WIDTH))
        image[disk(center, rng.uniform(3, 12), shape=image.shape)] = rng.uniform(0.2, 0.7)
    box = None
    if rng.random() < 0.8:
        x, y = rng.uniform(MARGIN, (WIDTH - MARGIN, HEIGHT - MARGIN))
        width = rng.uniform(12, 30)
        box = centerdet.RotatedBox(x, y, rng.uniform(-np.pi, np.pi), width, width * rng.uniform(1.6, 2.6))
        u, v = np.array(CORNERS).T * [[box.width], [box.height]]
        cos, sin = np.cos(box.yaw), np.sin(box.yaw)
        rows, columns = polygon(y - u * sin + v * cos, x + u * cos + v * sin, shape=image.shape)
        image[rows, columns] = BACKGROUND + rng.choice([-1, 1]) * rng.uniform(0.15, 0.3)
    return (image + rng.normal(0, NOISE_STD, image.shape)).clip(0, 1), box


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2500, help="optimiser steps; default: %(default)s")
    blocks_help = "blocks of 512 scenes for the second stage; 0: no second stage; default: %(default)s"
    parser.add_argument("--blocks", type=int, default=24, help=blocks_help)
    parser.add_argument("--out", type=Path, default=Path("runs/darts"), help="folder of the run; default: %(default)s")
    parser.add_argument("--resume", action="store_true", help="continue the run in that folder")
    parser.add_argument("--validation", type=int, default=1000, help="validation scenes; default: %(default)s")
    parser.add_argument("--num-samples", type=int, default=2000, help="scenes of the report; default: %(default)s")
    add_device_option(parser)
    return parser.parse_args(arguments)


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Trains a detector, and evaluates it on new scenes, without and with its second stage."""
    options = parse_arguments(arguments)
    validation_rng = np.random.default_rng(1)
    validation = [draw(validation_rng) for _ in range(options.validation)]
    config = centerdet.ImagesConfig(
        size_unit=30.0,  # px: about the extent of a dart
        training=centerdet.TrainingConfig(steps=options.steps, learning_rate=0.004, validate_every=1000),
        crop_size=96,
        augmentation=centerdet.AugmentationConfig(),  # none: every scene is new
        second_stage=second_stage_recipe(options.blocks) if options.blocks else None,
    )
    centerdet.train(
        draw,
        validation,
        config,
        directory=options.out,
        device=select_device(options.device),
        resume=options.resume,
    )
    detector = centerdet.load(options.out / "best.safetensors")
    if options.blocks:
        first = centerdet.Detector(detector.network, detector.codec)
        centerdet.calibrate(first, validation)
        print(f"without the second stage:\n{evaluate(first, options.num_samples)}")
    print(evaluate(detector, options.num_samples))


def evaluate(detector: centerdet.Detector, num_samples: int) -> centerdet.EvaluationReport:
    """Evaluates a detector on new scenes, the same at each call."""
    rng = np.random.default_rng(2)
    return centerdet.evaluate(detector, (draw(rng) for _ in range(num_samples)), count=num_samples, progress=True)


if __name__ == "__main__":
    sys.exit(main())
