"""Label files in JSON and XML: finding the images that they name."""

import builtins

import pytest

from centerdet.data.documents import Entry, assign_entries, read_xml
from centerdet.data.labels import ErrorCollector, ImageFolder


def assign(folder, references, names, known=()):
    images = ImageFolder(folder=folder, sizes=dict.fromkeys(names, (9, 9)), known_names={*names, *known})
    errors = ErrorCollector()
    entries = [Entry(reference, f"entry {number}", None, []) for number, reference in enumerate(references)]
    return assign_entries(folder / "labels", entries, images, errors), errors.messages


def test_the_longest_end_of_a_path_decides(tmp_path):
    names = ["a.png", "sub/a.png", "b.png", "sub/c.png"]
    assert assign(tmp_path, ["/x/sub/a.png", "/x/a.png", "y/0123abcd-b.png", "c.png"], names) == (
        {name: [] for name in names},
        [],
    )
    found, errors = assign(tmp_path, ["c.png", "one/c.png", "two/c.png"], ["one/c.png", "two/c.png"])
    assert set(found) == {"one/c.png", "two/c.png"}
    assert errors == ["entry 0: 'c.png' could be one/c.png or two/c.png; give the images different names"]


def test_names_with_backslashes_and_bytes_that_are_not_utf_8(tmp_path):
    names = ["back\\slash.png", "sub/a.png", "\udcff.png", "sub/\udcff.png", "a\x1b.png"]
    references = ["back\\slash.png", "sub\\a.png", r"\xff.png", r"x/sub/\xff.png", r"a\x1b.png"]
    assert assign(tmp_path, references, names) == ({name: [] for name in names}, [])
    assert assign(tmp_path, [r"a\x1b.png", "a\x1b.png"], ["a\x1b.png", r"a\x1b.png"])[1] == []


def test_entries_of_other_splits_are_ignored(tmp_path):
    assert assign(tmp_path, ["a.png", "other.png"], ["a.png"], known=["other.png"]) == ({"a.png": []}, [])


def test_xml_labels_need_defusedxml(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name.startswith("defusedxml"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install '\.\[labels\]'"):
        read_xml(tmp_path / "a.xml")
