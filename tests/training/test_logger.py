"""TensorBoard curves and images."""

import cv2
import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import centerdet
from centerdet import CenterNet, Codec
from centerdet.training.logger import MetricLogger
from tests.helpers import TINY, entries, train_tiny


def read_events(directory):
    events = EventAccumulator(str(directory))
    events.Reload()
    return events


def test_tensorboard_has_every_curve_and_the_heatmaps(finished_run):
    curves = read_events(finished_run[0] / "tensorboard")
    images = read_events(finished_run[0] / "tensorboard" / "images")
    assert set(curves.Tags()["scalars"]) == {
        *(f"loss/{name}" for name in ("total", "center", "size", "yaw", "offset")),
        *(f"validation/{name}" for name in ("AP@0.7", "AP@[0.50:0.95]", "IoU", "presence accuracy")),
        "learning rate",
    }
    assert images.Tags()["images"] == ["heatmaps"]
    assert [event.step for event in curves.Scalars("loss/total")] == [1, 2, 3, 4, 5, 6]


def test_logged_images_have_one_size_and_the_detectors_brightness(tmp_path):
    logged = []
    for name, intensity_range, white in (("full", None, 65535), ("twelve bits", (0, 4095), 4095)):
        detector = centerdet.Detector(CenterNet(TINY), Codec(), intensity_range=intensity_range)
        image = np.full((700, 800), white, np.uint16)
        report = centerdet.evaluate(detector, [(image, None)])
        (tmp_path / name).mkdir()
        with MetricLogger(tmp_path / name) as logger:
            logger.log_validation(1, report, detector, [image])
        logged.append(read_events(tmp_path / name / "tensorboard" / "images").Images("heatmaps")[0])
    assert logged[0].width < 400
    bright = [cv2.imdecode(np.frombuffer(picture.encoded_image_string, np.uint8), 1)[50, 50] for picture in logged]
    np.testing.assert_array_equal(*bright)
    assert bright[0].min() > 150


def test_a_function_receives_what_is_logged(tmp_path):
    logged = []
    train_tiny(tmp_path / "run", on_log=lambda step, values: logged.append((step, values)))
    losses = [(step, values["loss/total"]) for step, values in logged if "loss/total" in values]
    entries_with_loss = [
        (entry["step"], entry["loss"]["total"]) for entry in entries(tmp_path / "run") if "loss" in entry
    ]
    assert losses == entries_with_loss
    assert [step for step, values in logged if "validation/AP@0.7" in values] == [3, 6]
    assert all(isinstance(value, float) for _, values in logged for value in values.values())
