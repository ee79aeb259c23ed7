"""Writes a data set of one family of images, to measure training on images that are not the task's.

Families: thin (outlines in noise, among lines), filled (low-contrast shapes on photographs of textures), cutout (things
cut out of photographs, on other photographs). A fifth of the images has no object. The folder gets 8-bit PNG files,
labels as CSV, and data.yaml with the splits train, validation and test, for "centerdet train" and "centerdet check".
Image N of a split depends on family, seed, split and N alone: a larger --num-samples adds images and changes none.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a checkout works without being installed

from centerdet.cli.errors import Parser, fail_cleanly
from centerdet.cli.outputs import check_new_folder
from centerdet.cli.streams import one_line
from centerdet.data.csv_labels import write_csv
from centerdet.files import make_folder, write_atomically
from tools.families import FAMILIES

SPLITS = ("train", "validation", "test")


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family", choices=FAMILIES, help="which images")
    parser.add_argument("--num-samples", type=int, default=1500, help="training images; default: %(default)s")
    parser.add_argument("--validation", type=int, default=300, help="validation images; default: %(default)s")
    parser.add_argument("--test", type=int, default=1000, help="test images; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="seed of all images, at least 0; default: %(default)s")
    parser.add_argument("--out", type=Path, required=True, help="new folder for the data set")
    options = parser.parse_args(arguments)
    counts = {"--num-samples": options.num_samples, "--validation": options.validation, "--test": options.test}
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}")
    if options.seed < 0:
        raise ValueError(f"--seed must be at least 0, got {options.seed}")
    check_new_folder(options.out)
    return options


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Writes the data set."""
    options = parse_arguments(arguments)
    counts = dict(zip(SPLITS, (options.num_samples, options.validation, options.test), strict=True))
    for split, count in counts.items():
        write_split(options.out, options.family, split, count, seed=options.seed)
    path = options.out / "data.yaml"
    sources = [f"{split}: {{images: {split}, labels: {split}.csv}}\n" for split in SPLITS]
    write_atomically(path, "".join(["format: csv\n", *sources]).encode())
    print(f"{one_line(path)}: {', '.join(f'{count} images to {split}' for split, count in counts.items())}")


def write_split(folder: Path, family: str, split: str, count: int, *, seed: int) -> None:
    """Writes the images of one split into a folder of its name, and its labels beside it.

    Args:
        folder: The data set's folder.
        family: Key of ``FAMILIES``.
        split: One of ``SPLITS``.
        count: Number of images.
        seed: Seed of all images.
    """
    make_folder(folder / split)
    boxes = {}
    for index in tqdm(range(count), desc=split, unit="image", leave=False, disable=None):
        rng = np.random.default_rng([seed, list(FAMILIES).index(family), SPLITS.index(split), index])
        image, boxes[f"{index:05}.png"] = FAMILIES[family](rng)
        write_atomically(folder / split / f"{index:05}.png", cv2.imencode(".png", image)[1].tobytes())
    write_csv(folder / f"{split}.csv", boxes)


if __name__ == "__main__":
    sys.exit(main())
