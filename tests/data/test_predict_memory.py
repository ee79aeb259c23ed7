"""The memory of ``predict_files`` is what docs/own-images.md says, and too little of it costs one image alone."""

import cv2
import numpy as np
import pytest

import centerdet
from centerdet.data import predict
from centerdet.data.predict import predict_files
from tests.fuzz.bad_files import call_limited
from tests.helpers import make_detector

ARENAS = 2 * 128 * 2**20  # bytes of addresses, not of memory, that malloc may reserve for new threads


def write_image(path, height, width):
    image = np.zeros((height, width), np.uint8)
    image[20:40, 20:60] = 200
    cv2.imwrite(str(path), image)
    return path


def predict_all(detector, paths):
    """Raises the errors, or returns without one."""
    errors = []
    results = list(predict_files(detector, paths, on_error=errors.append))
    if errors:
        raise ValueError(f"{len(results)} results, errors: {errors}")


def test_a_failed_allocation_costs_one_image(tmp_path):
    sizes = {"a.png": (70, 80), "b.png": (3000, 3000), "c.png": (70, 80)}
    paths = [write_image(tmp_path / name, *size) for name, size in sizes.items()]
    message = call_limited(predict_all, centerdet.load(), paths, memory=300 * 2**20)
    assert message.startswith("ValueError: 2 results, errors: [")
    assert f"{paths[1]}: too little memory" in message


def test_the_memory_per_pixel_is_bounded(tmp_path):
    path = write_image(tmp_path / "a.png", 2500, 2500)
    memory = 6_250_000 * 75 + ARENAS
    assert call_limited(predict_all, centerdet.load("fast"), [path], memory=memory, seconds=60) == ""


@pytest.mark.slow
def test_the_largest_image_needs_the_documented_memory(tmp_path):
    path = write_image(tmp_path / "a.png", 10_000, 10_000)
    assert call_limited(predict_all, centerdet.load(), [path], memory=8_600_000_000, seconds=600) == ""


def test_a_batch_has_a_limited_number_of_pixels(tmp_path, monkeypatch):
    monkeypatch.setattr(predict, "MAX_BATCH_PIXELS", 3 * 64 * 64)
    detector, sizes = make_detector(), []
    detect = detector.detect_batch
    monkeypatch.setattr(
        detector, "detect_batch", lambda images, **options: sizes.append(len(images)) or detect(images, **options)
    )
    paths = [write_image(tmp_path / f"{index}.png", 64, 64) for index in range(7)]
    paths.insert(3, write_image(tmp_path / "large.png", 128, 128))
    results = list(predict_files(detector, paths, on_error=pytest.fail))
    assert [result.path for result in results] == paths
    assert sizes == [3, 1, 3, 1]


def test_a_batch_size_above_32_is_used(tmp_path, monkeypatch):
    detector, sizes = make_detector(), []
    decode = detector._decode
    monkeypatch.setattr(detector, "_decode", lambda images: sizes.append(len(images)) or decode(images))
    paths = [write_image(tmp_path / f"{index}.png", 64, 64) for index in range(40)]
    assert len(list(predict_files(detector, paths, on_error=pytest.fail, batch_size=40))) == 40
    assert sizes == [40]
