"""Draws heatmap, predicted and true box and heading onto one contact sheet (PNG).

Without image files: on generated scenes, the true box in green. With files: on those, PNG, JPEG, TIFF, BMP or NPY,
single-channel or turned to grey (ITU-R 601). The found box is orange, its arrow points along the heading.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a checkout works without being installed

import centerdet
from centerdet.command import fail_cleanly
from centerdet.files import check_folder, write_atomically
from centerdet.images import to_unit_range
from centerdet.viz import contact_sheet, draw_detection


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="*", type=Path, help="image files (default: generated scenes)")
    parser.add_argument("--out", type=Path, default=Path("heatmaps.png"), help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the generated scenes; default: %(default)s")
    parser.add_argument("--count", type=int, default=12, help="number of generated scenes; default: %(default)s")
    parser.add_argument("--columns", type=int, help="default: as square as it gets")
    parser.add_argument("--scale", type=int, default=2, help="enlargement of each image; default: %(default)s")
    parser.add_argument("--weights", type=Path, help="default: the shipped ones")
    parser.add_argument("--threshold", type=float, help="default: the one stored with the weights")
    return parser.parse_args(arguments)


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Draws as the command line says."""
    options = parse_arguments(arguments)
    columns = 1 if options.columns is None else options.columns
    if min(options.count, options.scale, columns) < 1:
        raise ValueError("--count, --scale and --columns must be at least 1")
    check_folder(options.out)
    detector = centerdet.load(options.weights, threshold=options.threshold)
    pairs = _read(options.images) if options.images else centerdet.official_scenes(options.seed, options.count)
    names = [path.name for path in options.images] or [f"seed {options.seed}, {i + 1}" for i in range(options.count)]
    tiles = []
    for name, (image, truth) in zip(names, pairs, strict=True):
        found, heatmap = detector(image), detector.heatmap(image)
        caption = name if found else f"{name}: nothing found"
        picture = draw_detection(image, found=found, truth=truth, heatmap=heatmap, scale=options.scale, caption=caption)
        tiles.append(picture)
    sheet = contact_sheet(tiles, columns=options.columns)
    png = cv2.imencode(".png", sheet[..., ::-1])[1]
    write_atomically(options.out, png.tobytes())
    print(f"{len(tiles)} images drawn to {options.out}")


def _read(paths: list[Path]) -> Iterator[tuple[NDArray, None]]:
    """Image files as grey arrays, without a known box."""
    for path in paths:
        try:
            if path.suffix.lower() == ".npy":
                image = np.load(path, allow_pickle=False)
            else:
                content = np.fromfile(path, np.uint8)
                image = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH) if content.size else None
        except (OSError, ValueError, EOFError, cv2.error) as error:
            raise ValueError(f"cannot read {path}: {error}") from None
        if image is None:
            raise ValueError(f"cannot read {path}: not an image file that OpenCV knows")
        try:
            to_unit_range(image)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        yield image, None


if __name__ == "__main__":
    sys.exit(main())
