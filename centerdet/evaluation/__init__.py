"""Scores, error analysis and reports."""
