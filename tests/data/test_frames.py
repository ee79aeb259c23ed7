"""Stacks and videos are sequences of frames."""

import io
import struct
import time
from itertools import islice

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

import centerdet
from centerdet.data import frames
from centerdet.data.frames import Frame, is_sequence, prefetch_frames, read_frames
from centerdet.data.image_io import GREY_WEIGHTS, read_image
from centerdet.data.predict import predict_files
from tests.helpers import assert_same_box, make_detector, noisy_bar

PIXELS = np.stack([(noisy_bar(64, number)[:64, :64] * 65535).astype(np.uint16) for number in range(5)])


def write_video(path, codec, pictures, shape=(64, 80)):
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 10, shape[::-1])
    for picture in pictures:
        video.write(picture)
    video.release()
    return path


@pytest.fixture
def colours():
    return np.random.default_rng(0).integers(0, 256, (6, 64, 80, 3)).astype(np.uint8)


def read_all(path):
    return [frame.read() if isinstance(frame, Frame) else str(frame) for frame in read_frames(path)]


@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"byteorder": ">"}, {"compression": "zlib"}])
def test_the_pages_of_a_stack(tmp_path, options):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, PIXELS, photometric="minisblack", **options)
    before = path.read_bytes()
    assert is_sequence(path)
    found = list(read_frames(path))
    assert [frame.number for frame in found] == [0, 1, 2, 3, 4]
    assert {frame.size for frame in found} == {PIXELS.shape[:0:-1]}
    np.testing.assert_array_equal([frame.read() for frame in reversed(found)], PIXELS[::-1])
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match="it holds 5 pages, and one is read; save each page as a file"):
        read_image(path)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_compressed_stacks_that_pillow_writes(tmp_path, compression):
    path = tmp_path / "stack.tif"
    first, *others = (Image.fromarray((pixels >> 8).astype(np.uint8)) for pixels in PIXELS)
    first.save(path, save_all=True, append_images=others, compression=compression)
    with Image.open(path) as stack:
        assert (stack.n_frames, stack.info["compression"]) == (5, compression)
    np.testing.assert_array_equal(read_all(path), PIXELS >> 8)


def test_pages_of_different_kinds_and_their_smaller_copies(tmp_path):
    path = tmp_path / "stack.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(np.full((70, 64, 3), (200, 100, 50), np.uint8), photometric="rgb")
        writer.write(np.zeros((32, 32), np.uint8), subfiletype=1)
        writer.write(np.full((64, 90), 0.5, np.float32))
    colour, grey = read_all(path)
    assert (colour == round(GREY_WEIGHTS @ [200, 100, 50])).all()
    assert grey.shape == (64, 90)
    assert (grey == 0.5).all()


def test_a_broken_page_costs_that_page_alone(tmp_path):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, PIXELS, photometric="minisblack", compression="zlib")
    with tifffile.TiffFile(path) as stack:
        start, length = stack.pages[2].dataoffsets[0], stack.pages[2].databytecounts[0]
        last = stack.pages[4].offset
    content = bytearray(path.read_bytes())
    content[start : start + length] = bytes(length)
    path.write_bytes(content)
    results, errors = [], []
    results = list(predict_files(make_detector(), [path], on_error=errors.append, batch_size=2))
    assert [result.frame for result in results] == [0, 1, 3, 4]
    assert len(errors) == 1
    assert errors[0].startswith(f"cannot read {path}, frame 2: it is damaged")
    path.write_bytes(content[:last])  # the last page is cut off
    assert "its list of pages is damaged or cut off" in str(list(read_frames(path))[-1])


def test_a_list_of_pages_without_end(tmp_path):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, PIXELS[:2], photometric="minisblack")
    with tifffile.TiffFile(path) as stack:
        first, last = (page.offset for page in stack.pages)
    content = bytearray(path.read_bytes())
    end = last + 2 + 12 * struct.unpack_from("<H", content, last)[0]
    struct.pack_into("<I", content, end, first)
    path.write_bytes(content)
    assert [isinstance(frame, str) for frame in read_all(path)] == [False, False, True]


@pytest.mark.parametrize(
    ("name", "codec"), [("a.avi", "FFV1"), ("a.AVI", "MJPG"), ("a.mp4", "mp4v"), ("a.mov", "mp4v")]
)
def test_the_frames_of_a_video(tmp_path, colours, name, codec):
    pictures = colours // 8 + np.arange(0, 180, 30, np.uint8)[:, None, None, None]
    found = read_all(write_video(tmp_path / name, codec, pictures))
    expected = pictures[..., ::-1] @ GREY_WEIGHTS
    np.testing.assert_allclose(np.mean(found, axis=(1, 2)), expected.mean(axis=(1, 2)), atol=2)
    if codec == "FFV1":  # lossless but for the conversion between colour spaces
        np.testing.assert_allclose(found, expected, atol=6)


def test_broken_frames_of_a_video(tmp_path, colours, monkeypatch):
    path = write_video(tmp_path / "a.avi", "MJPG", colours)
    content = bytearray(path.read_bytes())
    starts = [place for place in range(len(content)) if content[place : place + 2] == b"\xff\xd8"]
    content[starts[2] : starts[3] - 100] = bytes(starts[3] - 100 - starts[2])
    path.write_bytes(content)
    results, errors = [], []
    results = list(predict_files(make_detector(), [path], on_error=errors.append))
    assert [result.frame for result in results] == [0, 1, 3, 4, 5]
    assert errors == [f"cannot read {path}, frame 2: it is damaged or missing; repair the video"]
    path.write_bytes(content[: starts[4]])
    assert [isinstance(frame, str) for frame in read_all(path)] == [False, False, True, False, True, True]
    monkeypatch.setattr(frames, "_MAX_BROKEN", 1)
    assert "so are all frames from it to 5" in read_all(path)[-1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no video", "it is no AVI, MP4 or MOV video"),
        (b"#EXTM3U\nhttp://localhost/secret\n", "it is no AVI, MP4 or MOV video"),
        (b"RIFF\0\0\0\0AVI LIST" + bytes(100), "it is damaged, or has a type that OpenCV cannot read"),
    ],
)
def test_files_that_are_no_videos(tmp_path, content, message):
    (tmp_path / "a.avi").write_bytes(content)
    (error,) = read_all(tmp_path / "a.avi")
    assert message in error
    assert str(tmp_path / "a.avi") in error


def test_results_are_those_of_the_single_images(tmp_path):
    tifffile.imwrite(tmp_path / "b.tif", PIXELS, photometric="minisblack")
    cv2.imwrite(str(tmp_path / "a.png"), PIXELS[0])
    detector = make_detector()
    results = list(centerdet.predict(tmp_path, detector, batch_size=4))
    assert [(result.path.name, result.frame) for result in results] == [
        ("a.png", None),
        *(("b.tif", index) for index in range(5)),
    ]
    assert results[3].to_dict()["frame"] == 2
    for result, image in zip(results[1:], PIXELS, strict=True):
        np.testing.assert_array_equal(result.image, image)
        expected = detector(image)
        assert (result.detection is None) == (expected is None)
        if expected:
            assert_same_box(result.detection.box, expected.box)


def test_frames_are_prefetched_in_bounded_number(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.avi", "MJPG", np.zeros((40, 64, 80, 3), np.uint8))
    monkeypatch.setattr(frames, "_MAX_AHEAD", 3)
    read = []
    monkeypatch.setattr(frames, "to_grey", lambda array: read.append(1) or array[..., 0])
    for count, frame in enumerate(prefetch_frames(path)):
        assert frame.number == count
        assert len(read) <= count + 2 * 3 + 1
    assert len(read) == 40


def test_a_page_takes_no_longer_in_a_stack_of_many_pages(tmp_path):
    """The decoder counts the pages from the one that it reads; here are 150,000 directories for the same pixels."""
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(buffer, "TIFF")
    image = bytearray(buffer.getvalue())
    (offset,) = struct.unpack_from("<I", image, 4)
    (entries,) = struct.unpack_from("<H", image, offset)
    directory = bytes(image[offset : offset + 2 + 12 * entries])
    start, size = len(image) + len(image) % 2, len(directory) + 4
    struct.pack_into("<I", image, 4, start)
    image += bytes(start - len(image))
    image += b"".join(directory + struct.pack("<I", start + size * (number + 1)) for number in range(150_000))
    (tmp_path / "many.tif").write_bytes(image[:-4] + bytes(4))
    before = time.thread_time()
    for frame in islice(read_frames(tmp_path / "many.tif"), 20):
        assert frame.read().shape == (64, 64)
    assert time.thread_time() - before < 0.3  # s; about 0.02, and about 1 if each page takes all others
