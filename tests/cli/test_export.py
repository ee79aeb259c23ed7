"""``centerdet export``."""

from centerdet.export import OnnxDetector
from tests.helpers import make_noise


def test_the_command_writes_a_model_for_images_of_any_size(exported):
    _, path, done = exported
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{path}: for images of at least 64 px a side, in batches of any size\n"
    assert len(OnnxDetector(path).detect_batch([*make_noise(1, (90, 131)), *make_noise(2, (64, 64))])) == 3
