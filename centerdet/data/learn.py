"""Training on images of one's own, from scratch or from weights that have learned something else."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import nn

from centerdet.codec import CodecConfig
from centerdet.config import ImagesConfig
from centerdet.data.augment import Augmentation
from centerdet.data.batches import Batches, SceneSource
from centerdet.data.dataset import load_dataset, read_data_config
from centerdet.detector import Detector, codec_for
from centerdet.losses import CenterLoss
from centerdet.metrics import LabelledImages, calibrate
from centerdet.network import CenterNet
from centerdet.report import Report
from centerdet.training import fit


def learn_dataset(
    path: str | Path,
    config: ImagesConfig,
    *,
    directory: str | Path,
    start: Detector | None = None,
    device: torch.device | str = "cpu",
    resume: bool = False,
) -> Report:
    """Trains on the ``train`` split of a data set, validated and calibrated on its ``validation`` split.

    Args:
        path: The data set's YAML file.
        config: How to train.
        directory: As in ``learn``.
        start: As in ``learn``.
        device: As in ``learn``.
        resume: As in ``learn``.

    Raises:
        ValueError: As ``load_dataset``, ``learn`` and ``fit``.
    """
    data = read_data_config(path)
    train, validation = load_dataset(path, "train"), load_dataset(path, "validation")
    extents = [math.sqrt(item.box.width * item.box.height) for item in train.items if item.box]
    if not extents:
        raise ValueError(f"no image of the train split of {path} has an object; there is nothing to learn")
    if config.size_unit is None:
        config = replace(config, size_unit=round(math.exp(sum(map(math.log, extents)) / len(extents)), 1))
    return learn(
        train,
        validation,
        config,
        directory=directory,
        heading=data.heading,
        intensity=data.intensity,
        start=start,
        device=device,
        resume=resume,
    )


def learn(
    scenes: SceneSource,
    validation: LabelledImages,
    config: ImagesConfig,
    *,
    directory: str | Path,
    heading: bool = True,
    intensity: tuple[float, float] | None = None,
    start: Detector | None = None,
    device: torch.device | str = "cpu",
    resume: bool = False,
) -> Report:
    """Trains a detector on scenes of any kind and leaves it, calibrated, in a folder's ``best.safetensors``.

    Args:
        scenes: What to learn from, see ``Batches``.
        validation: Labelled images, the same every time they are gone through.
        config: How to train.
        directory: The run's folder, as in ``fit``.
        heading: Whether yaws tell nose from tail.
        intensity: Pixel values that become 0 and 1.
        start: A detector to start from: its network, whatever ``config.network`` says.
        device: Where to train.
        resume: Go on with the run in the folder.

    Returns:
        The report of the best weights on the validation images, after calibration on them.

    Raises:
        ValueError: As in ``fit`` and ``Batches``.
    """
    torch.manual_seed(config.training.seed)
    network = _network(config, start, heading)
    unit = config.size_unit or CodecConfig().size_unit
    base = start.codec.config if start else CodecConfig()
    codec = codec_for(network, replace(base, size_unit=unit))
    batches = Batches(
        scenes,
        seed=config.training.seed,
        steps=config.training.steps,
        batch_size=config.batch_size,
        window=config.window,
        augmentation=Augmentation(config.augmentation),
        intensity=intensity,
    )
    settings = {"images": {**asdict(config), "heading": heading, "intensity": intensity}}
    if start is not None:
        settings["start"] = start.report.get("settings", {})
    fit(
        network,
        codec,
        CenterLoss(config.loss),
        batches,
        validation,
        config=config.training,
        directory=directory,
        device=device,
        intensity=intensity,
        resume=resume,
        settings=settings,
    )
    best = Path(directory) / "best.safetensors"
    detector = Detector.load(best, device=device)
    report = calibrate(detector, validation, progress=True)
    detector.report["calibration"] = report.to_dict()
    detector.save(best)
    return report


def _network(config: ImagesConfig, start: Detector | None, heading: bool) -> CenterNet:
    if start is None:
        return CenterNet(replace(config.network, heading=heading))
    network = CenterNet(replace(start.network.config, heading=heading))
    network.load_state_dict(start.network.state_dict())
    if heading != start.network.config.heading:  # what the yaw maps mean is new
        nn.init.normal_(network.heads.vectors.data[0], std=0.01)
    return network
