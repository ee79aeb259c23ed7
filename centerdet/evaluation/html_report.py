"""Evaluation report as one HTML file: scores, plots, error analysis and example pictures."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from centerdet.box import Detection, RotatedBox
from centerdet.detector.base import BaseDetector
from centerdet.drawing import draw_tile
from centerdet.evaluation.error_analysis import error_analysis
from centerdet.evaluation.plots import draw_curves
from centerdet.evaluation.report import EvaluationReport, EvaluationResults, summarise
from centerdet.preprocessing import to_unit_range

LabelledImage = tuple[NDArray, RotatedBox | None]
GALLERY_SIZE = 12  # pictures in each gallery
TILE_SIDE = 320  # px: about the longer side of a picture
JPEG_QUALITY = 88  # percent

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 70rem; padding: 1rem; color: #1a1a1a; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; } h2 { font-size: 1.2rem; margin-top: 2rem; break-after: avoid; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem .2rem 0; text-align: left; }
td + td { font-variant-numeric: tabular-nums; }
pre { overflow-x: auto; font-size: clamp(.7rem, 3vw, .9rem); background: #f5f5f5; padding: .8rem; }
.curves, .pictures { display: grid; gap: .8rem; }
.curves { grid-template-columns: repeat(auto-fill, minmax(min(20rem, 100%), 1fr)); max-width: 52rem; }
.pictures { grid-template-columns: repeat(auto-fill, minmax(clamp(10rem, 23%, 16rem), 1fr)); }
figure { margin: 0; break-inside: avoid; } img, svg { width: 100%; height: auto; display: block; }
figcaption { font-size: .85rem; color: #444; overflow-wrap: anywhere; }
@media print {
  body { max-width: none; font-size: 11pt; padding: 0; }
  table, pre { break-inside: avoid; } section p { break-after: avoid; }
  .curves { grid-template-columns: 1fr 1fr; max-width: 56%; }
  .pictures { grid-template-columns: repeat(4, 1fr); gap: .4rem; }
}
"""


def render_html_report(
    detector: BaseDetector,
    results: EvaluationResults,
    scenes: Iterable[LabelledImage],
    *,
    title: str,
    lines: Sequence[NDArray] | None = None,
    names: Sequence[str] | None = None,
) -> str:
    """Renders the page, which needs no other file.

    Args:
        detector: Gives the threshold and the heatmaps.
        results: Of ``metrics.predict_all(..., ignore_threshold=True)``.
        scenes: The labelled images again, in the same order.
        title: Name of the evaluated data.
        lines: Lines of each synthetic scene, as in ``error_analysis``; ``None``: unknown.
        names: Names of the images; ``None``: their numbers.

    Returns:
        The HTML text.
    """
    above = results.above(detector.threshold)
    analysis = html.escape(error_analysis(above, lines))
    parts = [
        _header(summarise(above), html.escape(title), detector.threshold),
        '<section><h2>Curves</h2><div class="curves">',
        *(_curve(svg, caption) for svg, caption in draw_curves(results, detector.threshold)),
        "</div></section>",
        f"<section><h2>Error analysis</h2><pre>{analysis}</pre></section>",
        *_render_galleries(detector, above, scenes, names),
        "</body></html>\n",
    ]
    return "\n".join(parts)


def _header(report: EvaluationReport, title: str, threshold: float) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>" for name, value in report.rows()
    )
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>centerdet: {title}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<link rel="icon" href="data:,">',  # a browser would ask the server for one
        f"<style>{_STYLE}</style></head><body>",
        f"<h1>centerdet on {title}</h1>",
        f"<p>{report.samples} images, score threshold {threshold:g}. AP@0.7 (task definition) is the fraction with "
        f"rotated IoU &gt; 0.7 of the {report.scored} images that have a true or a predicted box.</p>",
        f"<table>{rows}</table>",
    ]
    return "\n".join(parts)


def _curve(svg: str, caption: str) -> str:
    return f"<figure>{svg}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _render_galleries(
    detector: BaseDetector, results: EvaluationResults, scenes: Iterable[LabelledImage], names: Sequence[str] | None
) -> list[str]:
    galleries = _choose_examples(results)
    needed = {index for indices in galleries.values() for index in indices}
    pictures = {
        index: _picture(detector, image, target, results, index, names[index] if names else f"image {index + 1}")
        for index, (image, target) in enumerate(scenes)
        if index in needed
    }
    legend = "Green: true box. Orange: predicted box with its score. Red: heatmap."
    parts = []
    for title, indices in galleries.items():
        parts += [f"<section><h2>{title}</h2><p>{legend}</p>", '<div class="pictures">']
        parts += [*(pictures[index] for index in indices), "</div></section>"]
    return parts


def _choose_examples(results: EvaluationResults) -> dict[str, list[int]]:
    """Chooses scored images by IoU: the worst, around the median, the best; among equal ones, the first."""
    scored = np.flatnonzero(results.scored)
    order = scored[np.argsort(results.iou[scored], kind="stable")].tolist()
    count = min(GALLERY_SIZE, len(order))
    middle = (len(order) - count) // 2
    return {
        "Worst": order[:count],
        "Median": order[middle : middle + count],
        "Best": order[len(order) - count :][::-1],
    }


def _picture(
    detector: BaseDetector, image: NDArray, target: RotatedBox | None, results: EvaluationResults, index: int, name: str
) -> str:
    box, score, heading = RotatedBox.from_array(results.predicted[index]), results.scores[index], results.has_heading
    predicted = None if box is None else Detection(box=box, score=float(score), has_heading=heading)
    grey, heatmap = to_unit_range(image, detector.intensity_range), detector.heatmap(image)
    picture = draw_tile(grey, TILE_SIDE, predicted=predicted, target=target, heatmap=heatmap, has_heading=heading)
    encoded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    data = base64.b64encode(encoded.tobytes()).decode()
    outcome = f"IoU {results.iou[index]:.2f}, score {score:.2f}"
    if target is None or predicted is None:
        outcome = "false alarm" if target is None else "missed"
    caption = html.escape(f"{name}: {outcome}")
    return (
        f'<figure><img alt="{caption}" src="data:image/jpeg;base64,{data}"><figcaption>{caption}</figcaption></figure>'
    )
