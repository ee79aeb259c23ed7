"""A report as one page to look at: scores, curves, errors and pictures in a single HTML file that needs no other."""

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
_GALLERY = 12  # pictures in each gallery
_TILE = 320  # px: about the longer side of a picture

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
    everything: EvaluationResults,
    scenes: Iterable[LabelledImage],
    *,
    title: str,
    names: Sequence[str] | None = None,
    lines: Sequence[NDArray] | None = None,
) -> str:
    """The page, as HTML.

    Args:
        detector: For its threshold and heatmaps.
        everything: Of ``metrics.predict_all_unthresholded``.
        scenes: The labelled images again, in the same order.
        title: What was evaluated on.
        names: Of the images; ``None``: their numbers.
        lines: Of each scene, where they are known.
    """
    results = everything.above(detector.threshold)
    report = summarise(results)
    galleries = _choose(results)
    wanted = {index for indices in galleries.values() for index in indices}
    pictures = {
        index: _picture(detector, image, target, results, index, names[index] if names else f"image {index + 1}")
        for index, (image, target) in enumerate(scenes)
        if index in wanted
    }
    title = html.escape(title)
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>centerdet: {title}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{_STYLE}</style></head><body>",
        f"<h1>centerdet on {title}</h1>",
        f"<p>{report.samples} images, confidence threshold {detector.threshold:g}. AP@0.7 is the fraction with rotated "
        f"IoU &gt; 0.7 of the {report.scored} images that have a true or a found box.</p>",
        _score_table(report),
        '<section><h2>Curves</h2><div class="curves">',
        *(_curve(svg, caption) for svg, caption in draw_curves(everything, detector.threshold)),
        "</div></section>",
        f"<section><h2>What is wrong</h2><pre>{html.escape(error_analysis(results, lines))}</pre></section>",
    ]
    for has_heading, indices in galleries.items():
        parts.append(
            f"<section><h2>{has_heading}</h2><p>Green: the truth. Orange: what was found, with its score. Red: heatmap.</p>"
        )
        parts += ['<div class="pictures">', *(pictures[index] for index in indices), "</div></section>"]
    return "\n".join([*parts, "</body></html>\n"])


def _score_table(report: EvaluationReport) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>" for name, value in report.rows()
    )
    return f"<table>{rows}</table>"


def _choose(results: EvaluationResults) -> dict[str, list[int]]:
    """Which scored images to show: worst, median and best by IoU; of equal ones, the first."""
    scored = np.flatnonzero(~np.isnan(results.predicted[:, 0]) | ~np.isnan(results.target[:, 0]))
    order = scored[np.argsort(results.iou[scored], kind="stable")].tolist()
    count = min(_GALLERY, len(order))
    middle = (len(order) - count) // 2
    return {
        "Worst": order[:count],
        "Median": order[middle : middle + count],
        "Best": order[len(order) - count :][::-1],
    }


def _picture(
    detector: BaseDetector, image: NDArray, target: RotatedBox | None, results: EvaluationResults, index: int, name: str
) -> str:
    box = results.predicted[index]
    predicted = None
    if not np.isnan(box[0]):
        predicted = Detection(
            box=RotatedBox(*box.tolist()), score=float(results.scores[index]), has_heading=results.has_heading
        )
    grey, heatmap = to_unit_range(image, detector.intensity_range), detector.heatmap(image)
    picture = draw_tile(
        grey, _TILE, predicted=predicted, target=target, heatmap=heatmap, has_heading=results.has_heading
    )
    data = base64.b64encode(cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])[1]).decode()
    caption = f"{name}: IoU {results.iou[index]:.2f}, score {results.scores[index]:.2f}"
    if target is None or predicted is None:
        caption = f"{name}: {'false alarm' if target is None else 'missed'}"
    caption = html.escape(caption)
    return (
        f'<figure><img alt="{caption}" src="data:image/jpeg;base64,{data}"><figcaption>{caption}</figcaption></figure>'
    )


def _curve(svg: str, caption: str) -> str:
    return f"<figure>{svg}<figcaption>{html.escape(caption)}</figcaption></figure>"
