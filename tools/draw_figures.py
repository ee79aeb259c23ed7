"""Draws the README's figures into docs/: a detection, the maps of one scene, a training run's curves, reliability."""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import torch

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a checkout works without being installed

import centerdet
from centerdet.cli.common import WEIGHTS_HELP, fail_cleanly
from centerdet.detector.calibration import calibration_error, reliability
from centerdet.drawing import contact_sheet, draw_detection
from centerdet.evaluation.metrics import predict_all
from centerdet.evaluation.report import CORRECT_IOU, wilson_interval
from centerdet.files import write_atomically


def draw_scene(detector: centerdet.Detector, seed: int) -> bytes:
    """A scene without and with what the detector says of it, side by side, as PNG."""
    image, target = next(centerdet.benchmark_scenes(seed, 1))
    tiles = [
        draw_detection(image, scale=3),
        draw_detection(image, predicted=detector(image), target=target, heatmap=detector.heatmap(image), scale=3),
    ]
    return cv2.imencode(".png", contact_sheet(tiles, columns=2)[..., ::-1])[1].tobytes()


def draw_maps(detector: centerdet.Detector, seed: int) -> bytes:
    """What goes in, what the network should say (top), and what it says (bottom), as PNG; box maps near the ship."""
    image, target = next(centerdet.benchmark_scenes(seed, 1))
    if target is None:
        raise ValueError(f"the scene of seed {seed} has no ship; choose another --seed")
    pixels = torch.from_numpy(image).float()[None, None]
    with torch.inference_mode():
        output = detector.network(pixels)
        evidence = detector.network.evidence(pixels)[0]
    target = detector.codec.encode(torch.from_numpy(target.to_array())[None], torch.tensor([True]), image.shape)
    unit, stride = detector.codec.config.size_unit, detector.codec.stride

    figure, axes = plt.subplots(2, 7, figsize=(15, 4.8), layout="constrained")
    for row, first, maps, heatmap in (
        (axes[0], image, target, target.heatmap[0, 0]),
        (axes[1], evidence[0], output, output.center.sigmoid()[0, 0]),
    ):
        name = "target" if first is image else "network"
        near = heatmap >= 0.05  # box maps mean something near a centre alone
        panels = [
            ("image" if first is image else "pixel > noise level", first, "gray", (0, 1)),
            (f"{name}: centre", heatmap, "magma", (0, 1)),
            ("width, 18 to 36 px", maps.size[0, 0] * unit, "viridis", (18, 36)),
            ("height, 20 to 60 px", maps.size[0, 1] * unit, "viridis", (20, 60)),
            ("sin yaw, -1 to 1", maps.yaw[0, 0], "coolwarm", (-1, 1)),
            ("cos yaw, -1 to 1", maps.yaw[0, 1], "coolwarm", (-1, 1)),
            ("offset x, -12 to 12 px", maps.offset[0, 0] * stride, "coolwarm", (-12, 12)),
        ]
        for index, (axis, (title, values, cmap, (low, high))) in enumerate(zip(row, panels, strict=True)):
            values = np.where(near, values, np.nan) if index > 1 else np.asarray(values)
            side = values.shape[0] * (1 if index == 0 else stride)
            axis.imshow(values, cmap=cmap, vmin=low, vmax=high, extent=(-0.5, side - 0.5, side - 0.5, -0.5))
            axis.plot(*np.vstack([target.corners(), target.corners()[:1]]).T, color="tab:green", linewidth=1)
            if index > 1:
                axis.set(xlim=(target.x - 36, target.x + 36), ylim=(target.y + 36, target.y - 36))
            else:
                axis.set(xlim=(-0.5, image.shape[1] - 0.5), ylim=(image.shape[0] - 0.5, -0.5))
            axis.set_title(title, fontsize=9)
            axis.set_xticks([])
            axis.set_yticks([])
    return _png(figure)


def draw_curves(metrics: Path, batch_size: int) -> bytes:
    """Loss terms, AP and IoU, and objectness over the images seen, from a run's ``metrics.jsonl``, as PNG."""
    entries = [json.loads(line) for line in metrics.read_text().splitlines()]
    losses = [entry for entry in entries if "loss" in entry]
    checks = [entry for entry in entries if "validation" in entry]
    if not losses or not checks:
        raise ValueError(f"{metrics} has no losses or no validations; let the run go on")
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained")
    seen = [entry["step"] * batch_size / 1000 for entry in losses]
    span = min(10, len(losses))
    for name in losses[0]["loss"]:
        smooth = np.convolve([entry["loss"][name] for entry in losses], np.full(span, 1 / span), mode="valid")
        axes[0].plot(seen[span - 1 :], smooth, label=name, linewidth=1)
    axes[0].set(title=f"training loss (mean of {span} batches)", yscale="log")
    seen = [entry["step"] * batch_size / 1000 for entry in checks]
    for name, label in {"ap": "AP@0.7", "ap_mean": "AP@[0.50:0.95]", "mean_iou": "mean IoU"}.items():
        axes[1].plot(seen, [entry["validation"][name] for entry in checks], label=label, marker=".")
    axes[1].axhline(0.91, color="gray", linestyle=":", label="best published AP@0.7")
    axes[1].set(title="validation: AP and IoU", ylim=(0, 1))
    for name, label in {"presence": "objectness", "heading": "heading within 30°"}.items():
        axes[2].plot(seen, [entry["validation"][name] for entry in checks], label=label, marker=".")
    axes[2].set(title="validation: objectness and heading", ylim=(0.5, 1))
    for axis in axes:
        axis.set_xlabel("training images (windows), thousands")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    return _png(figure)


def draw_reliability(detector: centerdet.Detector, seed: int, samples: int) -> bytes:
    """How often detections are right (IoU > 0.7) against the score that they were given, as PNG."""
    results = predict_all(detector, centerdet.benchmark_scenes(seed, samples), count=samples, progress=True)
    predicted = ~np.isnan(results.scores)
    scores, right = results.scores[predicted], results.iou[predicted] > CORRECT_IOU
    count, mean, fraction = reliability(scores, right)
    seen = count > 0
    intervals = [wilson_interval(int(hits), int(n)) for hits, n in zip((fraction * count).round(), count, strict=True)]
    low, high = np.array(intervals).T
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(4.6, 4.8), height_ratios=(3, 1), sharex=True, layout="constrained"
    )
    above.plot([0, 1], [0, 1], color="gray", linestyle=":", label="perfectly calibrated")
    bars = np.clip([fraction - low, high - fraction], 0, None)[:, seen]
    above.errorbar(mean[seen], fraction[seen], yerr=bars, marker="o", markersize=4, label="95 % intervals", capsize=2)
    above.set(ylabel="fraction with IoU > 0.7", xlim=(0, 1), ylim=(0, 1))
    above.set_title(f"{predicted.sum():,} detections, error {calibration_error(scores, right):.4f}", fontsize=10)
    above.legend(fontsize=8)
    below.bar((np.arange(len(count)) + 0.5) / len(count), count, width=0.9 / len(count))
    below.set(xlabel="score", ylabel="detections", yscale="log")
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    plt.close(figure)
    return buffer.getvalue()


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Draws all four."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", help=WEIGHTS_HELP)
    parser.add_argument("--metrics", type=Path, default=ROOT / "docs" / "run" / "metrics.jsonl")
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    parser.add_argument("--seed", type=int, default=1, help="of the scene that is drawn; default: %(default)s")
    parser.add_argument("--samples", type=int, default=10_000, help="for the reliability; default: %(default)s")
    parser.add_argument("--samples-seed", type=int, default=20_261_123, help="of these; default: %(default)s")
    options = parser.parse_args(arguments)
    if not options.metrics.exists():
        raise ValueError(f"no metrics at {options.metrics}; give a run's, --metrics runs/NAME/metrics.jsonl")
    detector = centerdet.load(options.weights)
    try:
        batch_size = detector.report["settings"]["curriculum"]["batch_size"]
    except KeyError:
        raise ValueError("these weights do not say how they were trained; give ones that train.py wrote") from None
    figures = {
        "detection.png": draw_scene(detector, options.seed),
        "maps.png": draw_maps(detector, options.seed),
        "curves.png": draw_curves(options.metrics, batch_size),
        "reliability.png": draw_reliability(detector, options.samples_seed, options.samples),
    }
    for name, content in figures.items():
        write_atomically(options.out / name, content)
    print(f"drawn: {', '.join(str(options.out / name) for name in figures)}")


if __name__ == "__main__":
    sys.exit(main())
