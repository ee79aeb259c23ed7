"""Trains one second stage for several weights files of the same images, the cheapest first, and adds it to each.

``python tools/train_second_stage.py fast accurate`` trains a second stage like that of the shipped weights.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a checkout works without being installed

import centerdet
from centerdet.cli.common import Parser, fail_cleanly, set_threads
from centerdet.synthetic.batches import CurriculumConfig, SyntheticBatches
from centerdet.training.second_stage_config import SecondStageRecipe
from centerdet.training.second_stage_fit import fit_second_stage, with_second_stage

VALIDATION_SEED, VALIDATION_SCENES, CALIBRATION_SCENES = 1_000_000, 1000, 10_000


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", nargs="+", help="names or paths as centerdet.load takes them, the cheapest first")
    parser.add_argument("--out", type=Path, default=Path("runs/second_stage"), help="folder of the run")
    parser.add_argument("--blocks", type=int, help="blocks of 512 scenes to train on")
    parser.add_argument("--seed", type=int, default=16, help="of scenes, starts and initial weights")
    parser.add_argument("--resume", action="store_true", help="continue the run in that folder")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
    return parser.parse_args(arguments)


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Trains as the command line says, and writes a weights file for each of those given."""
    options = parse_arguments(arguments)
    set_threads(options.threads)
    recipe = SecondStageRecipe()
    if options.blocks is not None:
        recipe = replace(recipe, training=replace(recipe.training, blocks=options.blocks))
    detectors = [centerdet.load(name) for name in options.weights]
    curriculum = CurriculumConfig(batch_size=recipe.images_per_block, ship_probability=recipe.object_probability)
    validation = centerdet.SyntheticScenes(VALIDATION_SEED)
    trained = fit_second_stage(
        detectors[-1],
        SyntheticBatches(options.seed, steps=recipe.training.blocks, curriculum=curriculum),
        [validation[index] for index in range(VALIDATION_SCENES)],
        recipe=recipe,
        directory=options.out,
        seed=options.seed,
        other_first_stages=detectors[:-1],
        resume=options.resume,
    )
    for name, detector in zip(options.weights, detectors, strict=True):
        result = with_second_stage(detector, trained.second_stage.network, recipe)
        scenes = centerdet.SyntheticScenes(VALIDATION_SEED, first=VALIDATION_SCENES)
        report = centerdet.calibrate(result, scenes, count=CALIBRATION_SCENES, progress=True)
        result.report = {**result.report, "second_stage": report.to_dict()}
        path = options.out / f"{Path(name).stem}.safetensors"
        result.save(path)
        print(f"{path}, calibrated on {report.samples} scenes:\n{report}")


if __name__ == "__main__":
    sys.exit(main())
