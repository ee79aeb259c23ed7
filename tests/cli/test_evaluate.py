"""``centerdet evaluate``."""

from centerdet.cli.main import main
from tests.helpers import write_dataset


def test_labels_without_a_heading_are_scored_by_their_axis(tmp_path, capsys):
    data = write_dataset(tmp_path, "yolo", split="test")
    data.write_text(data.read_text() + "has_heading: false\n")  # the weights have a heading, the labels do not
    assert main(["evaluate", str(data)]) == 0
    assert "axis within 30 deg" in capsys.readouterr().out


def test_an_intensity_range_other_than_that_of_the_weights_is_refused(tmp_path, capsys):
    data = write_dataset(tmp_path, "yolo", split="test")
    data.write_text(data.read_text() + "intensity_range: [0, 4095]\n")
    assert main(["evaluate", str(data)]) == 2
    message = "has intensity_range [0.0, 4095.0], but the weights were trained with None"
    assert message in capsys.readouterr().err
