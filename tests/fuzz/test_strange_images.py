"""Damaged, malicious or unusual image files are read or refused with one error."""

import contextlib
import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from centerdet.data.image_io import image_size, read_image

SMALL = (np.random.default_rng(0).random((70, 80)) * 255).astype(np.uint8)  # 80 px wide


def picture(format, *, orientation=None):
    """Returns the small image as the content of a file."""
    buffer, tags = io.BytesIO(), Image.Exif()
    tags[0x0112] = orientation
    Image.fromarray(SMALL).save(buffer, format, **({"exif": tags} if orientation else {}))
    return buffer.getvalue()


def array(shape=SMALL.shape, content=None, descr="|u1"):
    """Returns the content of an NPY file with any header."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": False, "shape": shape})
    return buffer.getvalue() + (SMALL.tobytes() if content is None else content)


def archive():
    """Returns the content of an NPZ file."""
    buffer = io.BytesIO()
    np.savez(buffer, image=SMALL)
    return buffer.getvalue()


def bomb(format, width, height):
    """Returns the content of a file with the small image and another size in its header."""
    content = picture(format)
    if format == "PNG":
        header = b"IHDR" + struct.pack(">II", width, height) + content[24:29]
        return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]
    if format == "BMP":
        return content[:18] + struct.pack("<ii", width, height) + content[26:]
    if format == "JPEG":
        return content.replace(struct.pack(">HH", 70, 80), struct.pack(">HH", height, width), 1)
    for tag, old, new in ((256, 80, width), (257, 70, height)):
        entries = [struct.pack(f"<HHI{kind}", tag, code, 1, old) for code, kind in ((3, "H"), (4, "I"))]
        entry = next(entry for entry in entries if entry in content)
        content = content.replace(entry.ljust(12, b"\0"), struct.pack("<HHII", tag, 4, 1, new))
    return content


@pytest.mark.parametrize(("width", "height"), [(20_000, 6_000), (60_000, 60_000)])
@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "BMP", "NPY"])
def test_too_large_sizes_are_refused_before_decoding(format, width, height, tmp_path, monkeypatch):
    path = tmp_path / f"bomb.{format.lower()}"
    with open(path, "wb") as file:
        file.write(array((height, width), b"") if format == "NPY" else bomb(format, width, height))
        if format == "NPY":
            file.truncate(file.tell() + width * height)  # a sparse file takes no space on disk
    decoded = []
    monkeypatch.setattr(cv2, "imdecode", lambda *_: decoded.append("by OpenCV"))
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *_: decoded.append("by Pillow"))
    monkeypatch.setattr(np, "load", lambda *_, **__: decoded.append("by numpy"))
    with pytest.raises(ValueError, match=f"cannot read {path}: .*({width} x {height} pixels|exceeds limit)"):
        read_image(path)
    assert decoded == []


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "BMP"])
def test_the_same_files_with_the_true_size_are_read(format, tmp_path):
    (tmp_path / "good").write_bytes(bomb(format, 80, 70))
    assert image_size(tmp_path / "good") == (80, 70)
    assert read_image(tmp_path / "good").shape == (70, 80)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (archive(), "no NPY file with a header"),  # an NPZ file with the suffix .npy
        (b"\x93NUMPY\2\0\xff\xff\xff\xff{", "no NPY file with a header"),  # of 4 GB
        (array((70, 80, 10**9), b""), "does not fit the file's length"),
        (array((70, 80, 5), bytes(28_000)), "got shape"),
        (array((5600,)), "got shape"),
        (array(descr="<c8", shape=(70, 10)), "got complex64"),
        (array(descr="|S80", shape=(70, 1)), "got .S80"),
        (array((70, 81)), "length|size|beyond"),
        (array().replace(b"(70, 80), }", b"(70, 80),  "), "its header is not that of an array of numbers"),
        (array().replace(b"(70, 80), }", b"abs(80, 0)}"), "its header is not that of an array of numbers"),
        (array(descr="|O"), "its header is not that of an array of numbers"),
    ],
)
def test_arrays_that_are_no_images_are_refused(content, message, tmp_path):
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"cannot read {path}: .*{message}"):
        read_image(path)


def test_other_image_formats_are_refused(tmp_path):
    Image.fromarray(SMALL).save(tmp_path / "a.gif")
    (tmp_path / "a.gif").rename(tmp_path / "a.png")
    with pytest.raises(ValueError, match="none of PNG, JPEG, TIFF, BMP"):
        read_image(tmp_path / "a.png")


CONTENTS = [
    *((".png", picture(format)) for format in ("PNG", "JPEG", "TIFF", "BMP")),
    *((".jpg", picture(format, orientation=6)) for format in ("PNG", "JPEG", "TIFF")),
    (".npy", array()),
    (".npy", archive()),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of this file's own, shared by all examples of a test."""
    return tmp_path_factory.mktemp("content")


@given(
    st.sampled_from(CONTENTS),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.booleans(), st.integers(0, 255)), max_size=8),
    st.floats(0, 1),
)
@settings(max_examples=150)
def test_damaged_files_are_read_or_refused(folder, file, changes, kept):
    suffix, content = file
    damaged = bytearray(content)
    for place, early, value in changes:
        damaged[int(place * (min(200, len(damaged)) if early else len(damaged)))] = value
    path = folder / f"damaged{suffix}"
    path.write_bytes(damaged[: max(1, int(kept * len(damaged)))] if kept < 0.3 else damaged)
    with contextlib.suppress(ValueError):
        assert read_image(path).ndim == 2
