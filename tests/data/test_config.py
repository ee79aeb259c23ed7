"""The YAML file of a data set."""

import pytest

from centerdet.data.config import read_data_config


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("heading: false", "unknown key 'heading'; did you mean 'has_heading'?"),
        ("intensity: [0, 4095]", "unknown key 'intensity'; did you mean 'intensity_range'?"),
        (
            "several: largest",
            "unknown key 'several'; known are format, train, validation, test, held_out, ",
        ),
        ("val: {images: a, labels: b}", "unknown key 'val'; did you mean 'validation'?"),
        ("train: {image: a, labels: b}", "unknown key 'train.image'; did you mean 'images'?"),
        ("intensity_range: [5, 5]", r"intensity_range must be two increasing numbers .* got \(5.0, 5.0\)"),
        ("multiple_objects: all", "multiple_objects: Input should be 'error' or 'largest', got 'all'"),
    ],
)
def test_wrong_keys_and_values_are_refused(line, complaint, tmp_path):
    (tmp_path / "data.yaml").write_text(f"format: csv\n{line}\n")
    with pytest.raises(ValueError, match=f"data.yaml: {complaint}"):
        read_data_config(tmp_path / "data.yaml")


def test_held_out_images_are_among_those_of_train(tmp_path):
    (tmp_path / "data.yaml").write_text(
        "format: csv\ntrain: {images: a, labels: b}\nheld_out: {test: 0.2}\nvalidation: {images: c, labels: d}\n"
    )
    config = read_data_config(tmp_path / "data.yaml")
    assert config.sources() == {"train": config.train, "validation": config.validation, "test": config.train}


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("format: csv\nnose: left", "nose must be top, got 'left': the yaw of a CSV file points to the nose"),
        ("format: yolo\nhas_heading: false\nnose: left", "nose must be top, got 'left': boxes have no heading"),
        ("format: yolo\nnose: front", "nose: Input should be 'top', 'right', 'bottom' or 'left', got 'front'"),
    ],
)
def test_a_nose_that_the_labels_cannot_have_is_refused(line, complaint, tmp_path):
    (tmp_path / "data.yaml").write_text(line)
    with pytest.raises(ValueError, match=f"data.yaml: {complaint}"):
        read_data_config(tmp_path / "data.yaml")
