"""Impossible descriptions of scenes are refused."""

import subprocess
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


def test_a_missing_numba_is_named_with_its_remedy():
    code = (
        "import sys; sys.modules['numba'] = None; import centerdet; centerdet.load(); "
        "from centerdet.refine.prior import ScenePrior; ScenePrior(); import centerdet.refine.search"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install '.[refine]'" in done.stderr.splitlines()[-1]
