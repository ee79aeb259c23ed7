"""Prints how often the detector finds the moved box in flipped and quarter-turned scenes: the fraction with IoU > 0.8.

The detector gets each scene and its seven other flips and quarter turns. A view counts if the detector finds a box
in it or in the original. A view agrees if it finds one in both, and the original's box, moved, has an IoU above 0.8
with it.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from numpy.typing import NDArray
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a checkout works without being installed

import centerdet
from centerdet.box import paired_iou, yaw_error
from centerdet.cli.errors import Parser, fail_cleanly
from centerdet.cli.options import parse_evaluation_options, select_device
from centerdet.cli.output_kinds import write_json
from centerdet.cli.streams import print_result, run_all
from centerdet.detector.base import BaseDetector
from centerdet.model.dihedral import matrices, transform

MIN_IOU = 0.8  # of a view that agrees
MAX_YAW_ERROR = math.radians(15)  # of a heading that agrees


class Agreement(NamedTuple):
    """How the views of all scenes agree with the originals.

    Attributes:
        views: Views with a box in the view or in the original.
        agreeing: Views with IoU > 0.8.
        heading_agreeing: Of these, views whose headings differ by less than 15 degrees.
        lowest_iou: Lowest IoU of all views; NaN without any.
    """

    views: int
    agreeing: int
    heading_agreeing: int
    lowest_iou: float


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image-size", type=int, default=200, help="side of the scenes in px; default: %(default)s")
    return parse_evaluation_options(parser, arguments, num_samples=1000, seed=20_261_125)


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Measures the agreement and prints it."""
    options = parse_arguments(arguments)
    detector = centerdet.load(options.weights, device=select_device(options.device))
    scenes = centerdet.SyntheticScenes(options.seed, config=centerdet.ScenesConfig(image_size=options.image_size))
    chosen = map(scenes.__getitem__, range(options.num_samples))
    agreement = measure(detector, tqdm(chosen, total=options.num_samples, unit="scene", disable=None))
    fraction = agreement.agreeing / max(1, agreement.views)
    text = (
        f"{options.num_samples} scenes of {options.image_size} px: {agreement.views} moved views with a box, "
        f"{fraction:.2%} agree with IoU > {MIN_IOU}, {agreement.heading_agreeing} of these also in their heading; "
        f"lowest IoU {agreement.lowest_iou:.4f}"
    )

    def write_report() -> None:
        if options.json:
            write_json(options.json, {**agreement._asdict(), "fraction": fraction})

    run_all(partial(print_result, text), write_report)


def measure(detector: BaseDetector, scenes: Iterable[tuple[NDArray, centerdet.RotatedBox | None]]) -> Agreement:
    """Runs a detector on all views of square scenes."""
    ious, headings = [], []
    for image, _ in scenes:
        pixels = torch.from_numpy(image)
        views = detector.detect_batch([transform(pixels, element).contiguous().numpy() for element in range(8)])
        for element in range(1, 8):
            expected, predicted = move(views[0], element, len(image)), views[element]
            if expected is None or predicted is None:
                ious += [0.0] if (expected is None) != (predicted is None) else []
                continue
            ious.append(float(paired_iou(expected.to_array()[None], predicted.box.to_array()[None])[0]))
            headings.append(ious[-1] > MIN_IOU and yaw_error(expected.yaw, predicted.box.yaw) < MAX_YAW_ERROR)
    return Agreement(
        views=len(ious),
        agreeing=sum(iou > MIN_IOU for iou in ious),
        heading_agreeing=int(sum(headings)),
        lowest_iou=min(ious, default=math.nan),
    )


def move(detection: centerdet.Detection | None, element: int, side: int) -> centerdet.RotatedBox | None:
    """The box where ``transform`` moves it in a square image of ``side`` px."""
    if detection is None:
        return None
    box, matrix, middle = detection.box, matrices()[element].double().numpy(), (side - 1) / 2
    x, y = matrix @ [box.x - middle, box.y - middle] + middle
    nose_x, nose_y = matrix @ [math.sin(box.yaw), math.cos(box.yaw)]
    return centerdet.RotatedBox(float(x), float(y), math.atan2(nose_x, nose_y), box.width, box.height)


if __name__ == "__main__":
    sys.exit(main())
