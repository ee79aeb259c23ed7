"""Draws the figures of README.md and docs/: a detection, the maps of a scene, a run's curves, a reliability diagram."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
import torch
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a checkout works without being installed

import centerdet
from centerdet.cli.errors import Parser, fail_cleanly
from centerdet.cli.options import WEIGHTS_HELP
from centerdet.cli.output_kinds import encode_png, is_png, mark_png
from centerdet.cli.outputs import Output, add_overwrite_option, check_outputs, weights_file
from centerdet.cli.streams import one_line
from centerdet.drawing import contact_sheet, draw_detection
from centerdet.files import write_atomically
from tools._curves import draw_curves, draw_reliability, to_png

SCENE_SEED = 1375  # a scene whose object no line crosses and whose outline has many pixels above the noise
NEAR = 0.05  # box maps are drawn where the heatmap is at least this
FIGURES = ("detection", "maps", "curves", "reliability")
HALF_WIDTH = 36  # px: the box maps show this much on either side of the object


def draw_scene(detector: centerdet.Detector, seed: int) -> bytes:
    """A scene, the same with the pixels above the noise marked, and the boxes on it, as PNG."""
    image, target = next(centerdet.benchmark_scenes(seed, 1))
    marked = mark_certain_pixels(image, detector.network.config.noise_level or 0.8)
    predicted, heatmap = detector(image), detector.heatmap(image)
    tiles = [
        draw_detection(image),
        draw_detection(marked),
        draw_detection(marked, predicted=predicted, target=target, heatmap=heatmap),
    ]
    sheet = contact_sheet(tiles, columns=3)
    return encode_png(sheet, cv2.IMWRITE_PNG_COMPRESSION, 9)


def mark_certain_pixels(image: NDArray, noise_level: float) -> NDArray[np.float64]:
    """Pixels above the noise level in white, slightly enlarged, over the dimmed image: ``(H, W)`` -> the same."""
    spots = cv2.GaussianBlur((image > noise_level).astype(np.float64), (0, 0), 0.8)
    return np.maximum(np.sqrt(spots / spots.max()) if spots.any() else spots, 0.3 * image)


def draw_maps(detector: centerdet.Detector, seed: int) -> bytes:
    """Target maps (top) and the network's maps (bottom) of one scene, as PNG; box maps near the object only."""
    image, target = next(centerdet.benchmark_scenes(seed, 1))
    if target is None:
        raise ValueError(f"the scene of seed {seed} has no object; choose another --seed")
    pixels = torch.from_numpy(image).float()[None, None]  # (1, 1, H, W)
    with torch.inference_mode():
        output = detector.network(pixels)
        network_input = detector.network.encode_images(pixels)[0, 0]
    wanted = detector.codec.encode(torch.from_numpy(target.to_array())[None], torch.tensor([True]), image.shape)
    scales = (detector.codec.config.size_unit, detector.codec.stride)
    figure, axes = plt.subplots(2, 7, figsize=(15, 4.8), layout="constrained")
    rows = [
        ("image", image, "target", wanted, wanted.heatmap[0, 0]),
        ("pixel > noise level", network_input, "network", output, output.center.sigmoid()[0, 0]),
    ]
    for row, (title, first, name, maps, heatmap) in zip(axes, rows, strict=True):
        panels = [(title, first, "gray", (0, 1)), (f"{name}: centre", heatmap, "magma", (0, 1))]
        _draw_row(row, panels + _box_panels(maps, *scales), heatmap, target, image.shape)
    return to_png(figure)


def _box_panels(maps: centerdet.Prediction | centerdet.Target, unit: float, stride: int) -> list[tuple]:
    """Title, values ``(h, w)``, colour map and range of each box map."""
    return [
        ("width, 18 to 36 px", maps.size[0, 0] * unit, "viridis", (18, 36)),
        ("height, 20 to 60 px", maps.size[0, 1] * unit, "viridis", (20, 60)),
        ("sin yaw, -1 to 1", maps.yaw[0, 0], "coolwarm", (-1, 1)),
        ("cos yaw, -1 to 1", maps.yaw[0, 1], "coolwarm", (-1, 1)),
        ("offset x, -12 to 12 px", maps.offset[0, 0] * stride, "coolwarm", (-12, 12)),
    ]


def _draw_row(
    axes: NDArray, panels: list[tuple], heatmap: torch.Tensor, box: centerdet.RotatedBox, shape: tuple[int, int]
) -> None:
    height, width = shape
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    near = np.asarray(heatmap) >= NEAR
    for index, (axis, (title, values, colors, (low, high))) in enumerate(zip(axes, panels, strict=True)):
        values = np.where(near, values, np.nan) if index > 1 else np.asarray(values)
        axis.imshow(values, cmap=colors, vmin=low, vmax=high, extent=extent, interpolation="nearest")
        if index > 1:
            axis.set(
                xlim=(box.x - HALF_WIDTH, box.x + HALF_WIDTH),
                ylim=(box.y + HALF_WIDTH, box.y - HALF_WIDTH),
            )
        axis.set_title(title, fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = Parser(description=__doc__)
    parser.add_argument("--weights", help=WEIGHTS_HELP)
    parser.add_argument("--metrics", type=Path, default=ROOT / "docs" / "run" / "metrics.jsonl", help="of a run")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="folder of the pictures; default: %(default)s")
    parser.add_argument("--seed", type=int, default=SCENE_SEED, help="of the scene; default: %(default)s")
    parser.add_argument(
        "--num-samples", type=int, default=10_000, help="samples of the reliability diagram; default: %(default)s"
    )
    parser.add_argument("--sample-seed", type=int, default=20_261_123, help="of these samples; default: %(default)s")
    add_overwrite_option(parser)
    return parser.parse_args(arguments)


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Draws all four figures."""
    options = parse_arguments(arguments)
    if not options.metrics.exists():
        raise ValueError(f"no metrics at {options.metrics}; give a run's, --metrics runs/NAME/metrics.jsonl")
    outputs = [Output("--out", options.out / f"{name}.png", is_png) for name in FIGURES]
    check_outputs(outputs, [options.metrics, *weights_file(options.weights)], overwrite=options.overwrite)
    detector = centerdet.load(options.weights)
    try:
        batch_size = detector.metadata["settings"]["curriculum"]["batch_size"]
    except KeyError:
        raise ValueError("these weights have no training settings; give weights that train.py wrote") from None
    figures = {
        "detection": draw_scene(detector, options.seed),
        "maps": draw_maps(detector, options.seed),
        "curves": draw_curves(options.metrics, batch_size),
        "reliability": draw_reliability(detector, options.sample_seed, options.num_samples),
    }
    for name, content in figures.items():
        write_atomically(options.out / f"{name}.png", mark_png(content))
    print(f"drawn: {', '.join(one_line(output.path) for output in outputs)}")


if __name__ == "__main__":
    sys.exit(main())
