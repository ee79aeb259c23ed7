"""Load: many threads, many images, and many files of which some are broken."""

import gc
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from centerdet.data.image_io import find_images
from centerdet.data.predict import predict_files
from tests.helpers import make_detector, noisy_bar


@pytest.mark.parametrize("seconds", [2, pytest.param(60, marks=pytest.mark.slow)])
def test_eight_threads_share_a_detector(seconds):
    detector, images = make_detector(), [noisy_bar(side, seed) for side in (64, 80) for seed in range(8)]
    expected = detector.detect_batch(images)
    end, start = time.monotonic() + seconds, threading.Barrier(8)

    def detect_repeatedly(number):
        """Detects in all images, one by one and in a batch, until the time is over; each thread starts elsewhere."""
        order = [(number * 2 + index) % len(images) for index in range(len(images))]
        start.wait()
        rounds = 0
        while time.monotonic() < end or not rounds:
            found = [detector(images[index]) for index in order[:8]]
            found += detector.detect_batch([images[index] for index in order[8:]])
            for index, one in zip(order, found, strict=True):
                other = expected[index]
                assert (one is None) == (other is None)
                if one is not None:
                    np.testing.assert_allclose(one.box.to_array(), other.box.to_array(), rtol=0, atol=1e-4)
            rounds += 1
        return rounds

    with ThreadPoolExecutor(8) as pool:
        assert min(pool.map(detect_repeatedly, range(8))) >= 1
    assert any(expected)


def resident():
    """Resident memory of the process, bytes."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(("first", "count"), [(200, 1000), pytest.param(1000, 20_000, marks=pytest.mark.slow)])
def test_memory_does_not_grow_with_the_number_of_images(first, count):
    detector, rng = make_detector(), np.random.default_rng(0)
    sizes = [(64, 64), (64, 71), (80, 66)]

    def detect_in(count):
        for number in range(0, count, 8):
            detector.detect_batch(rng.random((8, *sizes[number // 8 % 3]), dtype=np.float32))

    detect_in(first)
    before = resident()
    detect_in(count - first)
    assert resident() <= 1.05 * before


def break_file(path, kind):
    """Breaks an image file in one of six ways."""
    if kind == 0:
        path.write_bytes(b"")
    elif kind == 1:
        path.write_bytes(b"not an image")
    elif kind == 2:
        path.write_bytes(path.read_bytes()[:40])
    elif kind == 3:
        path.unlink()
    elif kind == 4:
        path.unlink()
        path.mkdir()
    else:
        np.save(path.with_suffix(".npy"), np.full((64, 64), np.nan))
        path.unlink()
        path.with_suffix(".npy").rename(path.with_suffix(".png"))  # an array with the name of an image


@pytest.mark.parametrize("count", [200, pytest.param(5000, marks=pytest.mark.slow)])
def test_broken_files_do_not_affect_the_predictions_of_the_others(count, tmp_path):
    pictures = [(noisy_bar(64, seed) * 255).astype(np.uint8) for seed in range(10)]
    for number in range(count):
        cv2.imwrite(str(tmp_path / f"{number:04}.png"), pictures[number % 10])
    paths = find_images(tmp_path)
    broken = paths[7::20]
    for number, path in enumerate(broken):
        break_file(path, number % 6)
    detector, errors = make_detector(), []
    expected = detector.detect_batch(pictures)
    results = list(predict_files(detector, paths, on_error=errors.append))
    assert [result.path for result in results] == [path for path in paths if path not in set(broken)]
    assert len(errors) == len(broken) == count // 20
    assert all(str(path) in line and "\n" not in line for path, line in zip(broken, errors, strict=True))
    for result in results:
        found, other = result.detection, expected[int(result.path.stem) % 10]
        assert (found is None) == (other is None)
        if found is not None:
            np.testing.assert_allclose(found.box.to_array(), other.box.to_array(), rtol=0, atol=1e-4)
