"""Draws heatmaps, predicted boxes and true boxes with their headings onto one contact sheet (PNG).

Without image files, it draws generated scenes, with the true box in green. With files (PNG, JPEG, TIFF, BMP or NPY), it
draws those, converted to grey. The detected box is orange; its arrow points along the heading.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a checkout works without being installed

import centerdet
from centerdet.cli.errors import Parser, fail_cleanly
from centerdet.cli.options import WEIGHTS_HELP, add_noise_level_option
from centerdet.cli.output_kinds import is_png, write_png
from centerdet.cli.outputs import Output, add_overwrite_option, check_outputs, weights_file
from centerdet.cli.streams import one_line
from centerdet.data.image_io import pad_small, read_usable
from centerdet.drawing import contact_sheet, draw_detection
from centerdet.preprocessing import to_unit_range

BATCH = 32  # scenes that the search for the worst ones detects at once


class Scene(NamedTuple):
    """An image to draw.

    Attributes:
        caption: Written onto the picture.
        image: ``(H, W)``.
        target: The true box, if it is known.
    """

    caption: str
    image: NDArray
    target: centerdet.RotatedBox | None


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="*", type=Path, help="image files (default: generated scenes)")
    parser.add_argument("--out", type=Path, default=Path("heatmaps.png"), help="the sheet; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="seed of the generated scenes; default: %(default)s")
    parser.add_argument("--num-samples", type=int, default=12, help="number of generated scenes; default: %(default)s")
    parser.add_argument("--worst", type=int, metavar="N", help="draw only the N generated scenes with the lowest IoU")
    parser.add_argument("--columns", type=int, help="columns of the sheet (default: a square sheet)")
    parser.add_argument("--scale", type=int, default=2, help="enlargement of each image; default: %(default)s")
    parser.add_argument("--weights", help=WEIGHTS_HELP)
    parser.add_argument("--threshold", type=float, help="score threshold in [0, 1] (default: the weights' own)")
    add_noise_level_option(parser)
    add_overwrite_option(parser)
    options = parser.parse_args(arguments)
    for name in ("num_samples", "scale", "columns", "worst"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be at least 1, got {getattr(options, name)}")
    if options.worst and options.images:
        raise ValueError("--worst needs true boxes, which image files do not have; leave out one of the two")
    inputs = [*options.images, *weights_file(options.weights)]
    check_outputs([Output("--out", options.out, is_png)], inputs, overwrite=options.overwrite)
    return options


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Draws the sheet."""
    options = parse_arguments(arguments)
    detector = centerdet.load(options.weights, threshold=options.threshold, noise_level=options.noise_level)
    errors: list[str] = []
    scenes: Iterable[Scene] = (
        read_scenes(options.images, detector, errors) if options.images else generate(options.seed, options.num_samples)
    )
    if options.worst:
        scenes = find_worst(detector, scenes, options.worst)
    tiles = [draw(detector, scene, options.scale) for scene in scenes]
    if not tiles:
        raise ValueError("; ".join(errors))
    write_png(options.out, contact_sheet(tiles, columns=options.columns))
    print(f"{len(tiles)} images drawn to {one_line(options.out)}")
    if errors:
        raise ValueError(f"skipped {len(errors)} of {len(options.images)} images: {'; '.join(errors)}")


def draw(detector: centerdet.Detector, scene: Scene, scale: int) -> NDArray:
    """One picture of a scene with the detector's heatmap and box."""
    predicted = detector(scene.image)
    return draw_detection(
        to_unit_range(scene.image, detector.intensity_range),
        predicted=predicted,
        target=scene.target,
        heatmap=detector.heatmap(scene.image),
        scale=scale,
        caption=scene.caption if predicted else f"{scene.caption}: nothing found",
        has_heading=detector.has_heading,
    )


def generate(seed: int, num_samples: int) -> Iterator[Scene]:
    """Generated scenes with their true boxes."""
    for number, (image, target) in enumerate(centerdet.benchmark_scenes(seed, num_samples), start=1):
        yield Scene(f"seed {seed}, {number}", image, target)


def find_worst(detector: centerdet.Detector, scenes: Iterable[Scene], count: int) -> list[Scene]:
    """The scenes with the lowest IoU, lowest first; a scene with neither a true nor a detected box counts as IoU 1."""
    worst: list[tuple[float, Scene]] = []
    iterator = iter(scenes)
    while chunk := list(islice(iterator, BATCH)):
        for predicted, scene in zip(detector.detect_batch([scene.image for scene in chunk]), chunk, strict=True):
            score = centerdet.score_iou(predicted and predicted.box, scene.target)
            iou = 1.0 if score is None else score
            worst.append((iou, scene._replace(caption=f"{scene.caption}: IoU {iou:.2f}")))
        worst = sorted(worst, key=lambda pair: pair[0])[:count]
    return [scene for _, scene in worst]


def read_scenes(paths: list[Path], detector: centerdet.Detector, errors: list[str]) -> Iterator[Scene]:
    """Image files as grey arrays, without a true box; ``errors`` receives a message for each other file."""
    for path in paths:
        try:
            yield Scene(path.name, pad_small(read_usable(path, detector.check)), None)
        except ValueError as error:
            errors.append(str(error))


if __name__ == "__main__":
    sys.exit(main())
