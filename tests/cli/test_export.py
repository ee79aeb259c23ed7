"""``centerdet export``."""

from centerdet.export import OnnxDetector


def test_the_command_writes_a_model_and_prints_its_image_size(exported):
    _, path, done = exported
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{path}: for images of 200 x 200 px, in batches of any size\n"
    assert OnnxDetector(path).image_size == (200, 200)
