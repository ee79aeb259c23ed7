"""Prints how often the detector finds the moved box in a flipped or quarter-turned scene: the fraction with IoU > 0.8.

Each scene is looked at as it is and in its seven other flips and quarter turns. A view counts if either look finds a
box, and agrees if both do and one box, moved, has an IoU above 0.8 with the other.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import torch
from numpy.typing import NDArray
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a checkout works without being installed

import centerdet
from centerdet.box import paired_iou, yaw_error
from centerdet.cli.common import fail_cleanly, parse_measurement, select_device, write_json
from centerdet.model.equivariant import matrices, transform

AGREES = 0.8  # IoU


class Agreement(NamedTuple):
    """What the views of all scenes say of each other."""

    views: int  # with a box in either look
    agreeing: int  # with IoU > 0.8
    has_heading: int  # of those, with the heading within 15 degrees
    least: float  # the lowest IoU of all views


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image-size", type=int, default=200, help="side of the scenes in px; default: %(default)s")
    return parse_measurement(parser, arguments, samples=1000, seed=20_261_125)


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Measures as the command line says."""
    options = parse_arguments(arguments)
    detector = centerdet.load(options.weights, device=select_device(options.device))
    scenes = centerdet.SyntheticScenes(options.seed, config=centerdet.ScenesConfig(image_size=options.image_size))
    agreement = measure(
        detector,
        tqdm(map(scenes.__getitem__, range(options.samples)), total=options.samples, unit="scene", disable=None),
    )
    fraction = agreement.agreeing / max(1, agreement.views)
    print(
        f"{options.samples} scenes of {options.image_size} px: {agreement.views} moved views with a box, "
        f"{fraction:.2%} agree with IoU > {AGREES}, {agreement.has_heading} of these in "
        f"their heading, too; lowest IoU {agreement.least:.4f}"
    )
    if options.json:
        write_json(options.json, {**agreement._asdict(), "fraction": fraction})


def measure(detector: centerdet.Detector, scenes: Iterable[tuple[NDArray, centerdet.RotatedBox | None]]) -> Agreement:
    """Looks at all views of square scenes."""
    ious, turns = [], []
    for image, _ in scenes:
        pixels = torch.from_numpy(image)
        views = detector.detect_batch([transform(pixels, element).contiguous().numpy() for element in range(8)])
        for element in range(1, 8):
            expected, predicted = move(views[0], element, len(image)), views[element]
            if expected is None or predicted is None:
                ious += [0.0] if (expected is None) != (predicted is None) else []
                continue
            ious.append(float(paired_iou(expected.to_array()[None], predicted.box.to_array()[None])[0]))
            turns.append(ious[-1] > AGREES and yaw_error(expected.yaw, predicted.box.yaw) < math.radians(15))
    return Agreement(len(ious), sum(iou > AGREES for iou in ious), int(sum(turns)), min(ious, default=math.nan))


def move(predicted: centerdet.Detection | None, element: int, side: int) -> centerdet.RotatedBox | None:
    """The box where ``symmetry.transform`` moves it in a square image of ``side`` px."""
    if predicted is None:
        return None
    box, matrix, middle = predicted.box, matrices()[element].double().numpy(), (side - 1) / 2
    x, y = matrix @ [box.x - middle, box.y - middle] + middle
    nose_x, nose_y = matrix @ [math.sin(box.yaw), math.cos(box.yaw)]
    return centerdet.RotatedBox(float(x), float(y), math.atan2(nose_x, nose_y), box.width, box.height)


if __name__ == "__main__":
    sys.exit(main())
