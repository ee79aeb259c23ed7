"""Random mutations of good files, by hypothesis: each is read, or refused with one ValueError that names the file.

``FUZZ_SECONDS`` sets the duration; CONTRIBUTING.md has the command for half an hour.
"""

import os
import time
from itertools import islice

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from centerdet.data import formats
from centerdet.data.config import read_data_config
from centerdet.data.frames import read_frames
from centerdet.data.labels import ErrorCollector, ImageFolder
from tests.fuzz.test_readers import READERS, contents  # noqa: F401 (a fixture)
from tests.helpers import ROOT

EXAMPLES = ROOT / "examples" / "labels"
FRAMES = 5  # of a damaged stack or video that are read


def read_document(format, *, in_folder):
    """A reader of a label file of a tool, which is a folder's only one in the formats with one file per image."""

    def read(path):
        errors, names = ErrorCollector(), [path.with_suffix(".png").name] if in_folder else ["dart-1.png"]
        images = ImageFolder(folder=EXAMPLES / "images", sizes=dict.fromkeys(names, (160, 120)), known_names=set(names))
        labels = path.parent if in_folder else path
        formats.READERS[format].read_labels(labels, images, has_heading=format != "rolabelimg", errors=errors)
        for message in (text for text in errors.messages if str(path) in text):
            raise ValueError(message)

    return read


def read_pages(path):
    for frame in islice(read_frames(path), FRAMES):
        if isinstance(frame, ValueError):
            raise frame
        frame.read()


# File name -> its reader, and a good file.
DOCUMENTS = {
    "label-studio.json": (read_document("label-studio", in_folder=False), "label-studio/labels.json"),
    "cvat.xml": (read_document("cvat", in_folder=False), "cvat/annotations.xml"),
    "labelme/dart-1.json": (read_document("labelme", in_folder=True), "labelme/labels/dart-1.json"),
    "x/dart-1.json": (read_document("x-anylabeling", in_folder=True), "x-anylabeling/labels/dart-1.json"),
    "labelimg2/dart-1.xml": (read_document("labelimg2", in_folder=True), "labelimg2/labels/dart-1.xml"),
    "rolabelimg/dart-1.xml": (read_document("rolabelimg", in_folder=True), "rolabelimg/labels/dart-1.xml"),
}
ALL_READERS = {
    **{name: read for name, (read, _) in READERS.items()},
    **{name: read for name, (read, _) in DOCUMENTS.items()},
    "ultralytics.yaml": read_data_config,
    "stack.tif": read_pages,
    "video.avi": read_pages,
}


@pytest.fixture(scope="module")
def good_files(contents, tmp_path_factory):  # noqa: F811
    """The content of a good file for every reader."""
    folder = tmp_path_factory.mktemp("sequences")
    pages = np.random.default_rng(0).integers(0, 256, (3, 64, 80), dtype=np.uint8)
    cv2.imwritemulti(str(folder / "stack.tif"), list(pages))
    video = cv2.VideoWriter(str(folder / "video.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 5, (80, 64), isColor=False)
    for page in pages:
        video.write(page)
    video.release()
    return {
        **contents,
        **{name: (EXAMPLES / example).read_bytes() for name, (_, example) in DOCUMENTS.items()},
        **{path.name: path.read_bytes() for path in folder.iterdir()},
        "ultralytics.yaml": b"path: .\ntrain: images/train\nval: images/val\nnames: {0: dart}\n",
    }


SECONDS = float(os.environ.get("FUZZ_SECONDS", "1"))
ODD = [
    b"\0" * 4,
    b"\xff" * 4,
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"9" * 30,
    b"-1",
    b"1e999",
    b"NaN",
    b"[" * 50,
    b"\n",
]
pieces = st.sampled_from(ODD) | st.binary(max_size=8)
# Where (as a fraction of the file, or of its first 300 bytes), how many bytes go, and what takes their place.
changes = st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.integers(0, 40), pieces), min_size=1, max_size=6)


def mutate(content, steps, kept):
    damaged = bytearray(content)
    for place, early, removed, piece in steps:
        start = int(place * (min(300, len(damaged)) if early else len(damaged)))
        damaged[start : start + removed] = piece
    return bytes(damaged[: int(kept * len(damaged))] if kept < 0.2 else damaged)


@pytest.mark.parametrize("name", ALL_READERS)
def test_mutated_files_are_read_or_refused(name, good_files, tmp_path):
    path, read = tmp_path / name, ALL_READERS[name]
    path.parent.mkdir(exist_ok=True)
    start, count, end = time.process_time(), 0, time.monotonic() + SECONDS / len(ALL_READERS)

    @given(changes, st.floats(0, 1))
    @settings(
        max_examples=200 if SECONDS > 10 else 25,
        deadline=None,
        database=None,
        derandomize=SECONDS <= 10,
        suppress_health_check=list(HealthCheck),
    )
    def run(steps, kept):
        nonlocal count
        count += 1
        path.write_bytes(mutate(good_files[name], steps, kept))
        try:
            read(path)
        except ValueError as error:
            assert str(path) in str(error)  # noqa: PT017
            assert len(str(error).splitlines()) == 1  # noqa: PT017

    run()
    while time.monotonic() < end and SECONDS > 10:
        run()  # with other random numbers
    print(f"{name}: {count} files, {time.process_time() - start:.0f} s of CPU time")  # with -s
