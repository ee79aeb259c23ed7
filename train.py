"""Trains the detector on the task's scenes: ``python train.py`` reproduces the shipped weights.

``torchrun --nproc-per-node N train.py`` trains the same with N processes, each with its share of every batch.
The run's folder holds the best and the last detector, a checkpoint, ``metrics.jsonl`` and TensorBoard curves.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

import centerdet
from centerdet import processes
from centerdet.command import fail_cleanly, pick_device, set_threads
from centerdet.config import Config, read_config
from centerdet.scene_batches import SceneBatches

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
    device = pick_device(options.device)
    set_threads(options.threads)
    with processes.joined(device) as device:
        first = processes.is_first()
        train(config, directory, device, resume=options.resume)
    if first:
        calibrate(config, directory, device)


def train(config: Config, directory: Path, device: torch.device, *, resume: bool) -> None:
    """Makes all that a config describes, and trains."""
    torch.manual_seed(config.training.seed)
    network = centerdet.CenterNet(config.network)
    if processes.is_first():
        size = f"{sum(p.numel() for p in network.parameters()):,} parameters"
        print(f"{size}; training on {device}, processes: {processes.count()}; run in {directory}")
    scenes = centerdet.Scenes(config.validation.seed, config=config.scenes)
    centerdet.fit(
        network,
        centerdet.Codec(stride=config.network.stride, config=config.codec),
        centerdet.CenterLoss(config.loss),
        SceneBatches(
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
    """Calibrates the best weights on scenes that come after those of the validation."""
    best = directory / "best.safetensors"
    detector = centerdet.load(best, device=device)
    unseen = centerdet.Scenes(config.validation.seed, first=config.validation.scenes, config=config.scenes)
    report = centerdet.calibrate(detector, unseen, count=config.validation.calibration_scenes, progress=True)
    detector.report["calibration"] = report.to_dict()
    detector.save(best)
    print(f"{best}, calibrated on {report.samples} further validation scenes:\n{report}")


if __name__ == "__main__":
    sys.exit(main())
