"""Evaluation: score, report, error analysis, plots and HTML report."""
