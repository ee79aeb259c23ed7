"""Choice of the score below which a detector reports nothing."""

from __future__ import annotations

import numpy as np

from centerdet.evaluation.report import EvaluationResults


def choose_threshold(results: EvaluationResults) -> float:
    """Finds the score threshold with the highest AP@0.7, of 0.00, 0.01, ..., 0.98.

    Among equally good thresholds the median is taken, as the safest against the noise of few samples.

    Args:
        results: Of all predictions, however low they score.
    """
    candidates = np.linspace(0.0, 0.98, 99)
    kept = np.nan_to_num(results.scores, nan=-1.0)[:, None] >= candidates  # (N, candidates)
    hits = (kept & results.correct[:, None]).sum(0)  # (candidates,)
    ap = hits / np.maximum((kept | results.has_target[:, None]).sum(0), 1)
    return float(np.median(candidates[ap >= ap.max() - 1e-9]).round(4))
