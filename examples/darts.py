"""Trains a detector on scenes of one's own: a function that draws darts, of another shape, size and noise than ships.

    python examples/darts.py                 # about 11 minutes of one quiet core
    python examples/darts.py --steps 100     # to see it run

Any function that takes a ``numpy.random.Generator`` and returns an image and a box (or ``None``) will do in its place.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage.draw import disk, polygon

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a checkout works without being installed

import centerdet
from centerdet.cli.common import fail_cleanly, pick_device

HEIGHT, WIDTH = 160, 208  # px
# A dart in the frame of its box: u across, v along the heading, both in units of the box.
CORNERS = [(0.0, 0.5), (-0.5, 0.05), (-0.15, 0.05), (-0.15, -0.5), (0.15, -0.5), (0.15, 0.05), (0.5, 0.05)]


def draw(rng: np.random.Generator) -> tuple[NDArray[np.float64], centerdet.RotatedBox | None]:
    """One scene: discs as distractors, in four of five scenes a dart, Gaussian noise over it all."""
    image = np.full((HEIGHT, WIDTH), 0.35)
    for _ in range(rng.integers(6)):
        center = rng.uniform(0, (HEIGHT, WIDTH))
        image[disk(center, rng.uniform(3, 12), shape=image.shape)] = rng.uniform(0.2, 0.7)
    box = None
    if rng.random() < 0.8:
        x, y = rng.uniform(15, (WIDTH - 15, HEIGHT - 15))
        across = rng.uniform(12, 30)
        box = centerdet.RotatedBox(x, y, rng.uniform(-np.pi, np.pi), across, across * rng.uniform(1.6, 2.6))
        u, v = np.array(CORNERS).T * [[box.width], [box.height]]
        cos, sin = np.cos(box.yaw), np.sin(box.yaw)
        rows, columns = polygon(y - u * sin + v * cos, x + u * cos + v * sin, shape=image.shape)
        image[rows, columns] = 0.35 + rng.choice([-1, 1]) * rng.uniform(0.15, 0.3)
    return (image + rng.normal(0, 0.12, image.shape)).clip(0, 1), box


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3000, help="optimiser steps; default: %(default)s")
    parser.add_argument("--out", type=Path, default=Path("runs/darts"), help="folder of the run; default: %(default)s")
    parser.add_argument("--resume", action="store_true", help="continue the run in that folder")
    parser.add_argument("--validation", type=int, default=1000, help="scenes to validate on; default: %(default)s")
    parser.add_argument("--samples", type=int, default=2000, help="to report on; default: %(default)s")
    parser.add_argument("--device", help="a torch device (default: a GPU if there is one)")
    return parser.parse_args(arguments)


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Trains, and reports on scenes that training never saw."""
    options = parse_arguments(arguments)
    validation_random, test_random = np.random.default_rng(1), np.random.default_rng(2)
    config = centerdet.ImagesConfig(
        size_unit=30.0,  # px: about the extent of a dart
        training=centerdet.TrainingConfig(steps=options.steps, learning_rate=0.004, validate_every=1000),
        crop_size=96,
        augmentation=centerdet.AugmentationConfig(),  # none: every scene is a new one
    )
    centerdet.train(
        draw,
        [draw(validation_random) for _ in range(options.validation)],
        config,
        directory=options.out,
        device=pick_device(options.device),
        resume=options.resume,
    )
    detector = centerdet.load(options.out / "best.safetensors")
    scenes = (draw(test_random) for _ in range(options.samples))
    print(centerdet.evaluate(detector, scenes, count=options.samples, progress=True))


if __name__ == "__main__":
    sys.exit(main())
