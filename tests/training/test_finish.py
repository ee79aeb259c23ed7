"""Steps after the training of a network."""

import pytest

from centerdet.folder_lock import lock_folder
from centerdet.training.finish import add_step
from tests.helpers import make_detector


def test_a_step_is_not_done_while_another_training_has_the_folder(tmp_path):
    make_detector().save(tmp_path / "best.safetensors")
    before = (tmp_path / "best.safetensors").read_bytes()
    with lock_folder(tmp_path), pytest.raises(ValueError, match="another training writes to .* now"):
        add_step(tmp_path / "best.safetensors", "calibration", lambda detector: pytest.fail("the step was done"))
    assert (tmp_path / "best.safetensors").read_bytes() == before
