"""Detection in many image files."""

import itertools

import cv2
import numpy as np
import pytest

from centerdet.data import frames
from centerdet.data.image_io import read_image
from centerdet.data.predict import find_files, predict_files, select_shard
from tests.helpers import assert_same_box, make_detector, noisy_bar


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(8)]
    for number, path in enumerate(paths):
        cv2.imwrite(str(path), (noisy_bar(64, number) * 255).astype(np.uint8))
    return paths


def test_no_more_images_are_read_than_needed(files, monkeypatch):
    read = []
    monkeypatch.setattr(frames, "read_image", lambda path: read.append(path) or read_image(path))
    results = predict_files(make_detector(), iter(files), on_error=pytest.fail, batch_size=2)
    for count, result in enumerate(itertools.islice(results, 5), start=1):
        assert result.path == files[count - 1]
        assert len(read) == count + count % 2


def test_files_that_cannot_be_used_are_reported_and_skipped(files, tmp_path):
    files[2].write_bytes(b"not an image")
    np.save(tmp_path / "wild.npy", np.full((64, 64), 7.5))
    errors, detector = [], make_detector()
    results = list(predict_files(detector, [*files, tmp_path / "wild.npy"], on_error=errors.append, batch_size=3))
    usable = [path for path in files if path != files[2]]
    assert [result.path for result in results] == usable
    for result, expected in zip(results, detector.detect_batch([read_image(path) for path in usable]), strict=True):
        assert (result.detection is None) == (expected is None)
        if expected:
            assert_same_box(result.detection.box, expected.box)
    assert [name in error for name, error in zip(["2.png", "wild.npy"], errors, strict=True)] == [True, True]
    assert not any("\n" in error for error in errors)


def test_names_folders_and_patterns_are_expanded(files, tmp_path):
    assert find_files([str(tmp_path)]) == files
    assert find_files([str(tmp_path / "[35].png"), str(files[0])]) == [files[3], files[5], files[0]]
    with pytest.raises(ValueError, match="there is no file, folder or match for"):
        find_files([str(tmp_path / "*.tif")])


def test_shards_are_disjoint_complete_and_in_order():
    for length in range(12):
        paths = list(range(length))
        for count in range(1, 15):
            shards = [select_shard(paths, (number, count)) for number in range(1, count + 1)]
            assert [path for shard in shards for path in shard] == paths
            assert max(map(len, shards)) - min(map(len, shards)) <= 1
