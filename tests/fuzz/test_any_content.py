"""Labels, configs and checkpoints of any content give a valid value or one clear error."""

import contextlib
import dataclasses
import math
import typing

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from centerdet.box import RotatedBox
from centerdet.data import dota, yolo_obb
from centerdet.data.config import DataConfig, read_data_config
from centerdet.data.csv_labels import read_csv
from centerdet.data.labels import ErrorCollector
from centerdet.strict_yaml import parse, read_yaml
from centerdet.training.checkpoint import load_checkpoint, save_checkpoint
from centerdet.training.config import Config, ImagesConfig, read_config
from tests.helpers import save_state

ODD = [
    "",
    "0",
    "-0",
    "1",
    "5e-324",
    "1e308",
    "-1e308",
    "1e154",
    "nan",
    "inf",
    "1_0",
    "0x1",
    "٣",
    "1e999",
    "ship",
    "\x00",
]
numbers = st.sampled_from(["0", "-0", "1", "10", "5e-324", "1e308", "-1e308", "1e154", "-1e200"])
words = numbers | numbers | st.floats(-300, 300).map(str) | st.sampled_from(ODD)


def lines(separator, *counts):
    return st.lists(
        st.sampled_from(counts).flatmap(lambda count: st.lists(words, min_size=count, max_size=count)), max_size=3
    ).map(lambda rows: "\n".join(separator.join(row) for row in rows))


def is_valid(box):
    return isinstance(box, RotatedBox) and all(math.isfinite(value) for value in dataclasses.astuple(box))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of this file's own, shared by all examples of a test."""
    return tmp_path_factory.mktemp("content")


@given(content=lines(" ", 9, 9, 10, 8), has_heading=st.booleans(), format=st.sampled_from([yolo_obb, dota]))
@settings(max_examples=120)
def test_no_numbers_in_a_text_label_crash(content, has_heading, format, folder):
    path = folder / "a.txt"
    path.write_bytes(content.encode("utf-8", "replace"))
    errors = ErrorCollector()
    labels = format.read_file(path, size=(320, 200), has_heading=has_heading, errors=errors)
    assert all(is_valid(label.box) for label in labels)
    assert all(error.startswith(str(path)) for error in errors.messages)


@given(content=lines(",", 6, 6, 5), has_heading=st.booleans())
@settings(max_examples=120)
def test_no_numbers_in_a_table_of_labels_crash(content, has_heading, folder):
    path = folder / "a.csv"
    path.write_bytes(f"image,x,y,yaw,width,height\n{content}".encode("utf-8", "replace"))
    with contextlib.suppress(ValueError):  # from the csv module
        errors = ErrorCollector()
        labels = read_csv(path, has_heading=has_heading, errors=errors)
        assert all(is_valid(label.box) for found in labels.values() for label in found or [])
        assert all(error.startswith(str(path)) for error in errors.messages)


def keys_of(kind):
    """The keys of a config class and of its sections."""
    hints = typing.get_type_hints(kind)
    parts = [part for hint in hints.values() for part in (hint, *typing.get_args(hint))]
    return {*hints, *(key for part in parts if dataclasses.is_dataclass(part) for key in keys_of(part))}


KINDS = (Config, ImagesConfig, DataConfig)
keys = st.sampled_from(sorted({key for kind in KINDS for key in keys_of(kind)})) | st.text(max_size=3) | st.integers()
plain = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.binary(max_size=2) | st.dates()
)
values = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)


@given(kind=st.sampled_from(KINDS), content=st.dictionaries(keys, values, max_size=4) | values)
@settings(max_examples=200)
def test_no_values_of_a_config_crash(kind, content):
    with contextlib.suppress(ValueError):
        assert isinstance(parse(kind, content), kind)


tokens = st.lists(
    st.sampled_from(
        [
            *(
                "network",
                "training",
                "train",
                "images",
                "seed",
                ": ",
                ":",
                "- ",
                "[",
                "]",
                "{",
                "}",
                ", ",
                "\n",
                "\n  ",
            ),
            *("&a ", "*a", "<<: ", "!!int ", "!!bool ", "!!float ", "!!binary ", "!!timestamp ", "!!set ", "!!omap "),
            *("!!python/object/apply:os.abort ", "? ", "| ", "'", '"', "=", "1:60", "0x", "2020-99-99", ".", "%", "~"),
            *("9" * 5000, "1e999", "\t", "\\ud800", "---", "..."),
        ]
    )
    | st.text(max_size=3),
    max_size=20,
).map("".join)


@given(kind=st.sampled_from(KINDS), content=tokens.map(lambda text: text.encode("utf-8", "replace")) | st.binary())
@settings(max_examples=200)
def test_no_content_of_a_config_file_crashes(kind, content, folder):
    path = folder / "a.yaml"
    path.write_bytes(content)
    try:
        found = read_yaml(path, kind)
    except ValueError as error:
        if str(path) not in str(error):
            raise
    else:
        assert isinstance(found, kind)


@pytest.mark.parametrize(
    "content", ["a: !!bool maybe", "a: !!int ''", "a: !!timestamp x", "a: 2020-99-99", "a: !!float '.'", "a: 0b"]
)
def test_errors_of_the_yaml_loader_name_the_file(content, tmp_path):
    (tmp_path / "a.yaml").write_text(content)
    with pytest.raises(ValueError, match=r"a\.yaml: "):
        read_config(tmp_path / "a.yaml")


def test_yaml_aliases_are_refused(tmp_path):
    bomb = ["format: yolo", "a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    bomb += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (tmp_path / "bomb.yaml").write_text("\n".join(bomb))
    with pytest.raises(ValueError, match="aliases are not allowed; write the value out"):
        read_data_config(tmp_path / "bomb.yaml")


@pytest.mark.parametrize("format", ["centerdet checkpoint 2", "centerdet weights 4", None])
def test_checkpoints_of_other_formats_are_refused(format, tmp_path):
    save_state({"format": format, "settings": {}}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="cannot resume: .* is not a 'centerdet checkpoint 3'"):
        load_checkpoint(tmp_path / "checkpoint.pt", settings=None)


@given(place=st.integers(0, 10**6), value=st.integers(0, 255), kept=st.floats(0, 1))
@settings(max_examples=60)
def test_no_damage_to_a_checkpoint_crashes(place, value, kept, folder):
    path = folder / "checkpoint.pt"
    save_checkpoint(path, {"settings": {"a": 1}, "network": {"weight": torch.arange(9.0)}})
    content = bytearray(path.read_bytes())
    content[place % len(content)] = value
    path.write_bytes(content[: int(kept * len(content))] if kept < 0.3 else content)
    with contextlib.suppress(ValueError):
        assert isinstance(load_checkpoint(path, settings=None), dict)
