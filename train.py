"""Trains the detector on the task's scenes: ``python train.py`` reproduces the shipped weights.

``torchrun --nproc-per-node N train.py`` trains the same with N processes, each with its share of every batch.
The run's folder holds the best and the last detector, a checkpoint, ``metrics.jsonl`` and TensorBoard curves.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch

import centerdet
from centerdet import distributed
from centerdet.cli.common import fail_cleanly, select_device, set_threads
from centerdet.synthetic.batches import SyntheticBatches
from centerdet.training.config import Config, read_config

DEFAULT = Path(__file__).parent / "configs" / "default.yaml"


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=DEFAULT, help="default: configs/default.yaml")
    parser.add_argument("--out", type=Path, help="folder of the run (default: runs/NAME OF THE CONFIG)")
    parser.add_argument("--resume", action="store_true", help="continue the run in that folder")
    parser.add_argument("--device", help="a torch device (default: a GPU if there is one)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
    return parser.parse_args(arguments)


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Trains as the command line says."""
    options = parse_arguments(arguments)
    config = read_config(options.config)
    directory = options.out or Path("runs") / options.config.stem
    device = select_device(options.device)
    set_threads(options.threads)
    with distributed.init_distributed(device) as device:
        first = distributed.is_main_process()
        train(config, directory, device, resume=options.resume)
    if first:
        calibrate(config, directory, device)


def train(config: Config, directory: Path, device: torch.device, *, resume: bool) -> None:
    """Makes all that a config describes, and trains."""
    torch.manual_seed(config.training.seed)
    network = centerdet.CenterNet(config.network)
    if distributed.is_main_process():
        size = f"{sum(p.numel() for p in network.parameters()):,} parameters"
        print(f"{size}; training on {device}, processes: {distributed.world_size()}; run in {directory}")
    scenes = centerdet.SyntheticScenes(config.validation.seed, config=config.scenes)
    centerdet.fit(
        network,
        centerdet.Codec(stride=config.network.stride, config=config.codec),
        centerdet.CenterLoss(config.loss),
        SyntheticBatches(
            config.training.seed,
            steps=config.training.steps,
            scenes=config.scenes,
            curriculum=config.curriculum,
            device=device,
        ),
        [scenes[index] for index in range(config.validation.scenes)],
        config=config.training,
        directory=directory,
        device=device,
        resume=resume,
        settings=config.to_dict(),
    )


def calibrate(config: Config, directory: Path, device: torch.device) -> None:
    """Calibrates the best weights on scenes that come after those of the validation, then their refinement."""
    best = directory / "best.safetensors"
    detector = centerdet.load(best, device=device)
    report = centerdet.calibrate(detector, _unseen(config), count=config.validation.calibration_scenes, progress=True)
    detector.metadata["calibration"] = report.to_dict()
    detector.save(best)
    print(f"{best}, calibrated on {report.samples} further validation scenes:\n{report}")
    if config.scenes.noise_level < 1:  # else any pixel may be background, and there is nothing to refine by
        report = calibrate_refinement(config, detector)
        detector.save(best)
        print(f"the same, refined:\n{report}")


def calibrate_refinement(config: Config, detector: centerdet.Detector) -> centerdet.EvaluationReport:
    """Makes a detector refine by the laws of its config's scenes, with a calibration and a threshold for that."""
    scene = centerdet.ScenePrior(noise_level=config.scenes.noise_level, lines=config.scenes.num_lines)
    detector.refinement = centerdet.RefinementConfig(scene=scene)
    refined = detector.refined()
    report = centerdet.calibrate(refined, _unseen(config), count=config.validation.calibration_scenes, progress=True)
    detector.refinement = replace(detector.refinement, threshold=refined.threshold, calibration=refined.calibration)
    detector.metadata["refinement"] = report.to_dict()
    return report


def _unseen(config: Config) -> centerdet.SyntheticScenes:
    return centerdet.SyntheticScenes(config.validation.seed, first=config.validation.scenes, config=config.scenes)


if __name__ == "__main__":
    sys.exit(main())
