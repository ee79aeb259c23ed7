"""The common part of the label readers."""

import pytest

from centerdet.data.formats import READERS
from centerdet.data.labels import ErrorCollector, ImageFolder, read_label_folder, read_number


def test_errors_are_collected_with_their_place():
    errors = ErrorCollector()
    with errors.collect("a.txt, line 3"):
        raise ValueError("too long")
    with errors.collect():
        raise ValueError("too short")
    with pytest.raises(KeyError), errors.collect():
        raise KeyError("not a wrong input")
    assert errors.messages == ["a.txt, line 3: too long", "too short"]


@pytest.mark.parametrize("text", ["1e9", "-1e300", "nan", "inf", "x", "", "1,5"])
def test_words_that_are_no_number_of_a_label_are_refused(text):
    with pytest.raises(ValueError, match="is not a"):
        read_number(text)


def test_a_folder_of_label_files(tmp_path):
    images = ImageFolder(
        folder=tmp_path / "images",
        sizes={"a.png": (8, 9), "sub/b.png": (8, 9), "bad.png": None, "none.png": (8, 9), "wrong.png": (8, 9)},
        known_names={"a.png", "sub/b.png", "bad.png", "none.png", "wrong.png", "of_another_split.png"},
    )
    labels = tmp_path / "labels"
    (labels / "sub").mkdir(parents=True)
    for name in ("a", "sub/b", "bad", "wrong", "of_another_split", "ghost", "classes"):
        (labels / f"{name}.txt").write_text("")
    read = []

    def read_file(path, *, size, has_heading, errors):
        read.append((path.relative_to(labels).as_posix(), size, has_heading))
        if path.stem == "wrong":
            errors.add("wrong.txt: wrong")
        return []

    errors = ErrorCollector()
    found = read_label_folder(labels, images, read_file, suffix=".txt", has_heading=False, errors=errors)
    assert read == [(f"{name}.txt", (8, 9), False) for name in ("a", "sub/b", "none", "wrong")]
    assert found == {"a.png": [], "sub/b.png": [], "none.png": []}
    ghost = f"{labels / 'ghost.txt'}: there is no such image in {images.folder}; remove the file, or add the image"
    assert errors.messages == ["wrong.txt: wrong", ghost]


@pytest.mark.parametrize("format", sorted(READERS))
def test_missing_labels_are_refused(format, tmp_path):
    images = ImageFolder(folder=tmp_path, sizes={"a.png": (64, 64)}, known_names={"a.png"})
    with pytest.raises(ValueError, match="nowhere"):
        READERS[format].read_labels(tmp_path / "nowhere", images, has_heading=True, errors=ErrorCollector())


@pytest.mark.parametrize(("format", "key"), [("csv", "sub/a.png"), ("yolo", "sub/a"), ("dota", "sub/a")])
def test_labels_identify_images_by_their_names(format, key):
    assert READERS[format].image_key("sub/a.png") == key
