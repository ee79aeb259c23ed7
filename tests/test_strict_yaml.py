import re
from dataclasses import dataclass, field
from typing import Literal

import pytest

from centerdet.strict_yaml import parse, read_yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    length: float = 1.0
    count: int = 2
    kind: Literal["round", "square"] = "round"

    def __post_init__(self):
        if self.count < 0:
            raise ValueError(f"count must be at least 0, got {self.count}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    part: Part = field(default_factory=Part)
    spare: Part | None = None
    parts: tuple[Part, ...] = ()
    bounds: tuple[float, float] | None = None
    name: str = ""


def test_lists_become_tuples_and_whole_numbers_floats():
    whole = parse(Whole, {"part": {"length": 3}, "parts": [{"count": 1}, {}], "spare": {}, "bounds": [0, 1]})
    assert whole == Whole(part=Part(length=3.0), parts=(Part(count=1), Part()), spare=Part(), bounds=(0.0, 1.0))
    assert isinstance(whole.part.length, float)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"nam": ""}, "unknown key 'nam'; did you mean 'name'?"),
        ({"bound": [0, 1]}, "unknown key 'bound'; did you mean 'bounds'?"),
        ({"part": {"lenght": 1}}, "unknown key 'part.lenght'; did you mean 'length'?"),
        ({"part": {"zzz": 1}}, "unknown key 'part.zzz'; known are length, count, kind"),
        ({"spare": {"knd": 1}}, "unknown key 'spare.knd'; did you mean 'kind'?"),
        ({"parts": [{}, {"cout": 1}]}, "unknown key 'parts.1.cout'; did you mean 'count'?"),
        ({"part": {"count": "1"}, "spare": {"coun": 1}}, "unknown key 'spare.coun'; did you mean 'count'?"),
        ({7: 1}, "unknown key '7'; known are part, spare, parts, bounds, name"),
        ([], "the file must hold 'key: value' lines, got []"),
        ({"part": None}, "part must hold 'key: value' lines, got None"),
        ({"parts": [3]}, "parts.0 must hold 'key: value' lines, got 3"),
        ({"part": {"count": "1"}}, "part.count: Input should be a valid integer, got '1'"),
        ({"part": {"count": True}}, "part.count: Input should be a valid integer, got True"),
        ({"part": {"count": 1.5}}, "part.count: Input should be a valid integer, got 1.5"),
        ({"part": {"length": "1e-3"}}, "part.length: Input should be a valid number, got '1e-3'"),
        ({"part": {"kind": "oval"}}, "part.kind: Input should be 'round' or 'square', got 'oval'"),
        ({"part": {"count": -1}}, "part: count must be at least 0, got -1"),
        ({"part": {"length": float("inf")}}, "only finite numbers, text, lists and sections are allowed"),
        ({"name": object()}, "only finite numbers, text, lists and sections are allowed"),
    ],
)
def test_wrong_keys_and_values_are_refused(values, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        parse(Whole, values)


def test_defaults_fill_in_the_keys_that_a_section_leaves_out():
    defaults = {"part": {"length": 5.0, "count": 6}, "name": "not a section"}
    assert parse(Whole, {"part": {"count": 1}}, defaults).part == Part(length=5.0, count=1)
    assert parse(Whole, {}, defaults) == Whole()
    for values in ({"part": 7}, [7]):
        with pytest.raises(ValueError, match="must hold 'key: value' lines"):
            parse(Whole, values, defaults)


def test_an_empty_file_means_the_defaults(tmp_path):
    (tmp_path / "empty.yaml").write_text("")
    assert read_yaml(tmp_path / "empty.yaml", Whole) == Whole()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name: a\npart: {}\nname: b", "cannot read .*a.yaml: duplicate key 'name'"),
        ("part: &p {}\nspare: *p", "cannot read .*a.yaml: aliases are not allowed; write the value out"),
        ("parts: [1", "cannot read .*a.yaml"),
        ("name: !!python/object/apply:os.abort []", "cannot read .*a.yaml"),
        ("nane: a", "a.yaml: unknown key 'nane'; did you mean 'name'"),
        ('name: "\\ud800"', "a.yaml: text must be Unicode without lone surrogates"),
        *(
            (f"bounds: [0, {number}]", f"cannot read .*a.yaml: write the number '{number}' in decimal digits alone")
            for number in ("010", "1_000", "1:30", "0x10", "0b1", "1_0.5", "1:30.5")
        ),
    ],
)
def test_errors_name_the_file(content, message, tmp_path):
    (tmp_path / "a.yaml").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_yaml(tmp_path / "a.yaml", Whole)
    with pytest.raises(ValueError, match="cannot read .*missing.yaml"):
        read_yaml(tmp_path / "missing.yaml", Whole)
