"""Draws heatmap, predicted and true box and heading onto one contact sheet (PNG).

Without image files: on generated scenes, the true box in green. With files: on those, PNG, JPEG, TIFF, BMP or NPY,
single-channel or turned to grey. The found box is orange, its arrow points along the heading.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import cv2
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a checkout works without being installed

import centerdet
from centerdet.cli.common import WEIGHTS_HELP, fail_cleanly
from centerdet.data.image_io import pad_small, read_usable
from centerdet.drawing import contact_sheet, draw_detection
from centerdet.files import check_folder, write_atomically
from centerdet.preprocessing import to_unit_range


class Named(NamedTuple):
    """An image, its caption, and the true box if one is known."""

    name: str
    image: NDArray
    target: centerdet.RotatedBox | None


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="*", type=Path, help="image files (default: generated scenes)")
    parser.add_argument("--out", type=Path, default=Path("heatmaps.png"), help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the generated scenes; default: %(default)s")
    parser.add_argument("--count", type=int, default=12, help="number of generated scenes; default: %(default)s")
    parser.add_argument("--worst", type=int, help="draw only so many of the generated scenes, the worst by IoU")
    parser.add_argument("--columns", type=int, help="default: as square as it gets")
    parser.add_argument("--scale", type=int, default=2, help="enlargement of each image; default: %(default)s")
    parser.add_argument("--weights", help=WEIGHTS_HELP)
    parser.add_argument("--threshold", type=float, help="default: the one stored with the weights")
    return parser.parse_args(arguments)


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Draws as the command line says."""
    options = parse_arguments(arguments)
    given = [options.count, options.scale, options.columns, options.worst]
    if min(1 if number is None else number for number in given) < 1:
        raise ValueError("--count, --scale, --columns and --worst must be at least 1")
    if options.worst and options.images:
        raise ValueError("--worst needs true boxes, which image files do not have; leave one of the two out")
    check_folder(options.out)
    detector = centerdet.load(options.weights, threshold=options.threshold)
    scenes = _read(options.images, detector) if options.images else _generate(options.seed, options.count)
    if options.worst:
        scenes = _worst(detector, scenes, options.worst)
    tiles = []
    for name, image, target in scenes:
        predicted, heatmap = detector(image), detector.heatmap(image)
        caption = name if predicted else f"{name}: nothing found"
        picture = draw_detection(
            to_unit_range(image, detector.intensity_range),
            predicted=predicted,
            target=target,
            heatmap=heatmap,
            scale=options.scale,
            caption=caption,
            has_heading=detector.has_heading,
        )
        tiles.append(picture)
    sheet = contact_sheet(tiles, columns=options.columns)
    png = cv2.imencode(".png", sheet[..., ::-1])[1]
    write_atomically(options.out, png.tobytes())
    print(f"{len(tiles)} images drawn to {options.out}")


def _generate(seed: int, count: int) -> Iterator[Named]:
    for number, (image, target) in enumerate(centerdet.benchmark_scenes(seed, count), start=1):
        yield Named(f"seed {seed}, {number}", image, target)


def _worst(detector: centerdet.Detector, scenes: Iterator[Named], count: int) -> list[Named]:
    """Those with the lowest IoU first; where there is neither a true nor a found box, nothing is wrong."""
    worst: list[tuple[float, Named]] = []
    while chunk := list(islice(scenes, 32)):
        for predicted, scene in zip(detector.detect_batch([scene.image for scene in chunk]), chunk, strict=True):
            score = centerdet.score_iou(predicted and predicted.box, scene.target)
            iou = 1.0 if score is None else score
            worst.append((iou, scene._replace(name=f"{scene.name}: IoU {iou:.2f}")))
        worst = sorted(worst, key=lambda pair: pair[0])[:count]
    return [scene for _, scene in worst]


def _read(paths: list[Path], detector: centerdet.Detector) -> Iterator[Named]:
    """Image files as grey arrays, without a known box."""
    for path in paths:
        yield Named(path.name, pad_small(read_usable(path, detector.check)), None)


if __name__ == "__main__":
    sys.exit(main())
