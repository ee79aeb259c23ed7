"""Figures of numbers: the curves of a training run, AP against labels, and a reliability diagram."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import centerdet
from centerdet.detector.calibration import calibration_error, reliability
from centerdet.evaluation.metrics import predict_all
from centerdet.evaluation.report import wilson_interval

BEST_PUBLISHED_AP = 0.91


def draw_curves(metrics: Path, batch_size: int) -> bytes:
    """Loss terms, AP and IoU, objectness and heading over the images seen, from a ``metrics.jsonl``, as PNG."""
    entries = [json.loads(line) for line in metrics.read_text().splitlines()]
    losses = [entry for entry in entries if "loss" in entry]
    checks = [entry for entry in entries if "validation" in entry]
    if not losses or not checks:
        raise ValueError(f"{metrics} has no losses or no validations; continue the run")
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained")
    span = min(10, len(losses))
    seen = [entry["step"] * batch_size / 1000 for entry in losses]
    for name in losses[0]["loss"]:
        smooth = np.convolve([entry["loss"][name] for entry in losses], np.full(span, 1 / span), mode="valid")
        axes[0].plot(seen[span - 1 :], smooth, label=name, linewidth=1)
    axes[0].set(title=f"training loss (mean of {span} batches)", yscale="log")
    _plot_checks(axes[1], checks, batch_size, {"ap": "AP@0.7", "ap_mean": "AP@[0.50:0.95]", "mean_iou": "mean IoU"})
    axes[1].axhline(BEST_PUBLISHED_AP, color="gray", linestyle=":", label="best published AP@0.7")
    axes[1].set(title="validation: AP and IoU", ylim=(0, 1))
    names = {"presence_accuracy": "objectness", "heading_accuracy": "heading within 30°"}
    _plot_checks(axes[2], checks, batch_size, names)
    axes[2].set(title="validation: objectness and heading", ylim=(0.5, 1))
    for axis in axes:
        axis.set_xlabel("training crops, thousands")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    return to_png(figure)


def _plot_checks(axis: Axes, checks: list[dict], batch_size: int, names: dict[str, str]) -> None:
    seen = [entry["step"] * batch_size / 1000 for entry in checks]
    for key, label in names.items():
        axis.plot(seen, [entry["validation"][key] for entry in checks], label=label, marker=".")


def draw_learning_curves(cells: Mapping[str, Mapping[str, Mapping[int, tuple[float, float]]]]) -> bytes:
    """AP@0.7 against the number of labels, as PNG: a plot for each data set, a curve for each starting point.

    Args:
        cells: From ``compare_learning.cells``.
    """
    figure, all_axes = plt.subplots(1, len(cells), figsize=(4 * len(cells), 3.6), layout="constrained", squeeze=False)
    for axes, (data, curves) in zip(all_axes[0], cells.items(), strict=True):
        for init, points in curves.items():
            labels, values = zip(*sorted(points.items()), strict=True)
            mean, half = np.array(values).T
            axes.errorbar(labels, mean, yerr=half, marker="o", markersize=4, capsize=2, label=f"from {Path(init).stem}")
        ticks = sorted({number for points in curves.values() for number in points})
        axes.set(title=Path(data).resolve().parent.name, xlabel="labelled images", ylim=(0, 1), xscale="log")
        axes.set_xticks(ticks, [f"{number:,}" for number in ticks])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    all_axes[0][0].set_ylabel("AP@0.7")
    all_axes[0][0].legend(fontsize=8)
    return to_png(figure)


def draw_reliability(detector: centerdet.Detector, seed: int, num_samples: int) -> bytes:
    """Fraction of correct detections (IoU > 0.7) against their score, as PNG."""
    results = predict_all(detector, centerdet.benchmark_scenes(seed, num_samples), count=num_samples, progress=True)
    predicted = results.has_prediction
    scores, correct = results.scores[predicted], results.correct[predicted]
    count, mean, fraction = reliability(scores, correct)
    seen = count > 0
    intervals = [wilson_interval(int(hits), int(n)) for hits, n in zip((fraction * count).round(), count, strict=True)]
    low, high = np.array(intervals).T
    bars = np.clip([fraction - low, high - fraction], 0, None)[:, seen]
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(4.6, 4.8), height_ratios=(3, 1), sharex=True, layout="constrained"
    )
    above.plot([0, 1], [0, 1], color="gray", linestyle=":", label="perfectly calibrated")
    above.errorbar(mean[seen], fraction[seen], yerr=bars, marker="o", markersize=4, label="95 % intervals", capsize=2)
    above.set(ylabel="fraction with IoU > 0.7", xlim=(0, 1), ylim=(0, 1))
    above.set_title(f"{predicted.sum():,} detections, error {calibration_error(scores, correct):.4f}", fontsize=10)
    above.legend(fontsize=8)
    below.bar((np.arange(len(count)) + 0.5) / len(count), count, width=0.9 / len(count))
    below.set(xlabel="score", ylabel="detections", yscale="log")
    return to_png(figure)


def to_png(figure: Figure) -> bytes:
    """The figure as a PNG file's bytes; closes it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    plt.close(figure)
    return buffer.getvalue()
