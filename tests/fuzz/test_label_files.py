"""Damaged label files of labelling tools are errors with their place, never crashes."""

import json
import math
import random
import shutil

import pytest

from centerdet.data.formats import READERS
from centerdet.data.labels import ErrorCollector, ImageFolder
from tests.helpers import ROOT

EXAMPLES = ROOT / "examples" / "labels"
SINGLE = {"label-studio": "labels.json", "cvat": "annotations.xml"}
FOLDERS = {"labelme": ".json", "x-anylabeling": ".json", "labelimg2": ".xml", "rolabelimg": ".xml"}
NAMES = ["dart-0.png", "dart-1.png", "dart-2.png", "dart-3.png", "empty.png"]
STRANGE = [None, True, [], {}, "", "x", "\ud800", -1, 0, 1e308, 10**400, math.inf, math.nan, [[]], {"x": 1}]
PIECES = [
    b"",
    b"\0",
    b"<",
    b">",
    b"]]",
    b"{}",
    b"nan",
    b"-",
    b"9" * 5000,
    b'"',
    b"&amp;",
    b"&#0;",
    b"\xff\xfe",
    b"[" * 3000,
]


def read(format, path):
    """Reads labels; returns the objects, and the errors or the one error."""
    errors = ErrorCollector()
    images = ImageFolder(folder=EXAMPLES / "images", sizes=dict.fromkeys(NAMES, (160, 120)), known_names=set(NAMES))
    try:
        found = READERS[format].read_labels(path, images, has_heading=format != "rolabelimg", errors=errors)
    except ValueError as error:
        return {}, [str(error)]
    return found, errors.messages


def check(format, path):
    found, errors = read(format, path)
    assert all(math.isfinite(value) for labels in found.values() for label in labels for value in label.box.to_array())
    assert all(errors)
    assert errors or len(found) == len(NAMES)


def files(format, folder):
    """A copy of an example: its path for the reader, and one of its files."""
    if format in SINGLE:
        path = folder / SINGLE[format]
        shutil.copy(EXAMPLES / format / path.name, path)
        return path, path
    shutil.copytree(EXAMPLES / format / "labels", folder / "labels")
    return folder / "labels", folder / "labels" / f"dart-1{FOLDERS[format]}"


@pytest.mark.parametrize("format", [*SINGLE, *FOLDERS])
def test_damaged_bytes(format, tmp_path):
    path, file = files(format, tmp_path)
    content, rng = file.read_bytes(), random.Random(0)
    for _ in range(150):
        start = rng.randrange(len(content))
        end = min(len(content), start + rng.choice([0, 1, 4, 30, 10_000]))
        file.write_bytes(content[:start] + rng.choice(PIECES) + content[end:])
        check(format, path)


def places(value, path=()):
    """The paths of all values in nested lists and dictionaries."""
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from places(part, (*path, key))


def replaced(value, path, new):
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


@pytest.mark.parametrize("format", ["label-studio", "labelme", "x-anylabeling"])
def test_values_of_another_type(format, tmp_path):
    path, file = files(format, tmp_path)
    content = json.loads(file.read_text())
    if format == "label-studio":
        content = content[:1]
    for place in places(content):
        for new in STRANGE:
            file.write_text(json.dumps(replaced(content, place, new)))
            found, errors = read(format, path)
            assert all(math.isfinite(label.box.x) for labels in found.values() for label in labels)
            assert all(errors)
