"""Impossible descriptions of scenes are refused."""

import importlib
import sys

import pytest

from centerdet.refine.prior import ScenePrior


@pytest.mark.parametrize(
    "fields",
    [
        {"noise_level": 1.0},
        {"noise_level": 0.0},
        {"outline": ((0.0, 0.0), (1.0, 1.0)), "vertex_std": ((0.0, 0.0),) * 2},
        {"vertex_std": ()},
        {"width_range": (30, 20)},
        {"aspect_ratio": (1.0, 0.0)},
        {"num_lines": -1},
        {"margin": -1},
    ],
)
def test_impossible_scenes_are_refused(fields):
    with pytest.raises(ValueError, match=r"must|needs"):
        ScenePrior(**fields)


def test_a_missing_numba_is_named_with_its_remedy(monkeypatch):
    """What needs no numba is in tests/test_structure.py."""
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "centerdet.refine.bresenham", raising=False)
    with pytest.raises(ImportError, match=r"needs numba: pip install '\.\[refine\]'"):
        importlib.import_module("centerdet.refine.bresenham")  # all compiled modules import it
