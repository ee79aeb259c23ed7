import numpy as np
import pytest

from centerdet import Detection
from centerdet.detector.base import BaseDetector

SIZES = [(64, 64), (200, 200), (64, 64), (131, 77), (200, 200), (64, 64)]


class MeanDetector(BaseDetector):
    """Puts a box at (x, y) = (rows, columns) of the image; its score is the mean of the pixels."""

    def __init__(self, *, threshold=0.0, intensity_range=None, has_heading=True, metadata=None):
        super().__init__(
            threshold=threshold, intensity_range=intensity_range, has_heading=has_heading, metadata=metadata
        )
        self.batch_sizes = []

    def heatmap(self, image):
        return self._prepare(image)

    def _decode(self, images):
        self.batch_sizes.append(len(images))
        boxes = [(*image.shape, 0.5, 20.0, 30.0) for image in images]
        return np.array(boxes, np.float32), images.mean(axis=(1, 2))


def make_images():
    return [np.full(size, (1 + index) / 10) for index, size in enumerate(SIZES)]


def test_detections_keep_the_order_of_images_of_mixed_sizes():
    detector = MeanDetector()
    detections = detector.detect_batch(make_images(), batch_size=2)
    assert [(detection.box.x, detection.box.y) for detection in detections] == SIZES
    assert [detection.score for detection in detections] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert detector.batch_sizes == [2, 1, 2, 1]  # three of 64 x 64, two of 200 x 200, one of 131 x 77


def test_the_default_batch_size_is_32():
    detector = MeanDetector()
    assert len(detector.detect_batch(np.zeros((33, 64, 64)))) == 33
    assert detector.batch_sizes == [32, 1]
    assert detector.detect_batch([]) == []


@pytest.mark.parametrize("batch_size", [0, -1])
def test_batch_size_below_one_is_refused(batch_size):
    with pytest.raises(ValueError, match=f"batch_size must be at least 1, got {batch_size}"):
        MeanDetector().detect_batch(make_images(), batch_size=batch_size)


def test_detect_call_and_detect_batch_agree():
    detector, image = MeanDetector(has_heading=False), make_images()[1]
    detection = detector.detect(image)
    assert isinstance(detection, Detection)
    assert detection.has_heading is False
    assert detector(image) == detection
    assert detector.detect_batch([image]) == [detection]


def test_a_score_equal_to_the_threshold_is_reported():
    image = np.full((64, 64), 0.5)
    assert MeanDetector(threshold=0.5).detect(image) is not None
    assert MeanDetector(threshold=0.51).detect(image) is None


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan"), "0.5"])
def test_threshold_outside_0_to_1_is_refused(threshold):
    with pytest.raises(ValueError, match=r"threshold must lie in \[0, 1\], got"):
        MeanDetector(threshold=threshold)
    detector = MeanDetector(threshold=1)
    with pytest.raises(ValueError, match=r"threshold must lie in \[0, 1\], got"):
        detector.threshold = threshold
    assert detector.threshold == 1.0
    assert isinstance(detector.threshold, float)


def test_intensity_range_scales_pixels():
    image = np.full((64, 64), 2100, np.uint16)
    assert MeanDetector(intensity_range=(100, 4100)).detect(image).score == pytest.approx(0.5)


@pytest.mark.parametrize("intensity_range", [(1.0, 1.0), (2, 1), (0, float("nan"))])
def test_intensity_range_that_does_not_grow_is_refused(intensity_range):
    with pytest.raises(ValueError, match=r"intensity_range must be two increasing numbers"):
        MeanDetector(intensity_range=intensity_range)


def test_errors_name_the_invalid_image():
    detector, good, bad = MeanDetector(), np.zeros((64, 64)), np.full((64, 64), np.nan)
    with pytest.raises(ValueError, match="image 1: .*NaN"):
        detector.detect_batch([good, bad])
    assert detector.batch_sizes == []
    detector.check(good)
    with pytest.raises(ValueError, match="^an image must have finite pixels"):
        detector.check(bad)


def test_candidates_are_the_most_likely_box_by_default():
    detector, images = MeanDetector(), np.full((2, 64, 70), 0.25, np.float32)
    boxes, scores = detector.candidates(images, 3)
    assert boxes.tolist() == [[[64, 70, 0.5, 20, 30]]] * 2
    assert scores.tolist() == [[0.25], [0.25]]
    _, _, *candidates = detector.decode_with_candidates(images, 3)
    np.testing.assert_array_equal(candidates[0], boxes)
    np.testing.assert_array_equal(candidates[1], scores)
    assert detector.batch_sizes == [2, 2]  # one pass each


def test_metadata_is_empty_by_default():
    assert MeanDetector().metadata == {}
    assert MeanDetector(metadata={"step": 3}).metadata == {"step": 3}
