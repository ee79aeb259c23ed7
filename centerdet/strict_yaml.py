"""Strict reader of YAML files into dataclasses: no unknown keys, no type conversion, no duplicate keys, no aliases."""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from centerdet.files import read_regular

Section = TypeVar("Section")

MAX_BYTES = 300_000  # of a file: PyYAML reads as many in about five seconds
MAX_INTEGER = 2**63 - 1
_DECIMAL = re.compile(r"[-+]?(0|[1-9]\d*|\d*\.\d*([eE][-+]?\d+)?|\.(inf|nan))", re.ASCII | re.IGNORECASE)
_CONFIG = ConfigDict(extra="forbid", strict=True)


def read_yaml(path: str | Path, kind: type[Section], defaults: Mapping[str, Any] | None = None) -> Section:
    """Reads a YAML file into a dataclass.

    Args:
        path: The file. An empty file means the defaults.
        kind: The dataclass. Its fields are the keys of the file; fields that are dataclasses are sections.
        defaults: Values of sections that take precedence over the defaults of the sections' own classes.

    Raises:
        ValueError: If the file cannot be read, is not YAML, or has a key or value that is not allowed. The message
            names the file and the key.
    """
    values = load_yaml(path)
    try:
        return parse(kind, {} if values is None else values, defaults)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def load_yaml(path: str | Path) -> Any:
    """Returns the content of a YAML file as plain values; ``None`` if it is empty.

    Raises:
        ValueError: If the file cannot be read, is not YAML, or has duplicate keys or aliases.
    """
    try:
        return yaml.load(read_regular(path, max_bytes=MAX_BYTES).decode(), _StrictLoader)
    except RecursionError:
        raise ValueError(f"cannot read {path}: it is nested too deeply; correct the file") from None
    except Exception as error:  # PyYAML raises many types, for example KeyError for "!!bool maybe"
        raise ValueError(f"cannot read {path}: {' '.join(str(error).split())[:300]}; correct the file") from None


def parse(kind: type[Section], values: Any, defaults: Mapping[str, Any] | None = None) -> Section:
    """Turns nested plain values, as in a YAML file, into a dataclass.

    Args:
        kind: As in ``read_yaml``.
        values: The content of the file.
        defaults: As in ``read_yaml``.

    Raises:
        ValueError: If a key or value is not allowed.
    """
    try:
        _check_integers(values)
        text = json.dumps([_merge(values, defaults or {})], allow_nan=False)
    except RecursionError:
        raise ValueError("it is nested too deeply; a config has three levels at most") from None
    except _TooLargeError:
        raise
    except (TypeError, ValueError) as error:
        raise ValueError(f"only finite numbers, text, lists and sections are allowed: {error}") from None
    # The list is needed since pydantic refuses a config for a dataclass itself; the dataclasses inside inherit it.
    # JSON mode is as strict about types as wanted, but takes lists for tuples and whole numbers for floats.
    adapter = TypeAdapter(list[kind], config=_CONFIG)  # type: ignore[valid-type]
    try:
        return adapter.validate_json(text)[0]
    except ValidationError as error:
        raise ValueError(_first_message(error, kind)) from None


def _check_integers(values: Any, where: str = "") -> None:
    """Refuses whole numbers that are too large for 64 bits, which would become infinity where a float is wanted."""
    if isinstance(values, int) and not -MAX_INTEGER <= values <= MAX_INTEGER:
        raise _TooLargeError(
            f"{where or 'the file'}: got a whole number of {values.bit_length()} bits, at most 63 allowed"
        )
    if isinstance(values, Mapping | list | tuple):
        for name, value in values.items() if isinstance(values, Mapping) else enumerate(values):
            _check_integers(value, f"{where}.{name}" if where else str(name))


class _TooLargeError(ValueError):
    """A whole number does not fit into 64 bits."""


def _merge(values: Any, defaults: Mapping[str, Any]) -> Any:
    """Fills in keys of sections that the values have in part."""
    if not isinstance(values, Mapping):
        return values
    merged = dict(values)
    for name, section in defaults.items():
        if isinstance(section, Mapping) and isinstance(merged.get(name), Mapping):
            merged[name] = {**section, **merged[name]}
    return merged


def _first_message(error: ValidationError, kind: type) -> str:
    """Returns the message of one error; unknown keys come first, since a misspelt key can cause the other errors."""
    errors = error.errors()
    first = next((entry for entry in errors if entry["type"] == "unexpected_keyword_argument"), errors[0])
    path = first["loc"][1:]  # without the index in the list of ``parse``
    where = ".".join(str(part) for part in path)
    if first["type"] == "json_invalid":
        return "text must be Unicode without lone surrogates, such as \\ud800"
    if first["type"] == "unexpected_keyword_argument":
        return f"unknown key {where!r}; {_suggest(str(path[-1]), _known_keys(kind, path[:-1]))}"
    if first["type"] == "dataclass_type":
        return f"{where or 'the file'} must hold 'key: value' lines, got {first['input']!r}"
    message = first["msg"].removeprefix("Value error, ")
    seen = "" if "got" in message else f", got {first['input']!r}"
    return f"{where}: {message}{seen}".removeprefix(": ")[:400]


def _suggest(key: str, known: Sequence[str]) -> str:
    """Names the known key that is most like an unknown one, or all known keys."""
    begun = [name for name in known if name.startswith(key)]  # 'val' for 'validation'
    near = begun or difflib.get_close_matches(key, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"


def _known_keys(kind: Any, path: Sequence[int | str]) -> list[str]:
    """Returns the keys of the section at a path of keys and list indices below a dataclass."""
    for part in path:
        hint = get_type_hints(kind)[part] if isinstance(part, str) else kind
        kind = hint if is_dataclass(hint) else next(inner for inner in get_args(hint) if inner is not type(None))
    return [entry.name for entry in fields(kind)]


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe loader, with three more errors: duplicate keys, aliases, and numbers that are not plainly decimal.

    Without the first, the last of two equal keys would win silently. With aliases, a few lines can expand to gigabytes.
    To YAML 1.1, 010 is eight, 1:30 is ninety and 1_0 is ten.
    """

    def construct_number(self, node: yaml.ScalarNode) -> float:
        if not _DECIMAL.fullmatch(node.value):
            message = f"write the number {node.value[:60]!r} in decimal digits alone"
            raise yaml.constructor.ConstructorError(None, None, message, node.start_mark)
        is_whole = node.tag.endswith(":int")
        return self.construct_yaml_int(node) if is_whole else self.construct_yaml_float(node)

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "aliases are not allowed; write the value out", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = Counter(str(key.value) for key, _ in node.value)
        if double := sorted(key for key, count in keys.items() if count > 1):
            raise yaml.constructor.ConstructorError(None, None, f"duplicate key {double[0]!r}", node.start_mark)
        return super().construct_mapping(node, deep)


for _kind in ("int", "float"):
    _StrictLoader.add_constructor(f"tag:yaml.org,2002:{_kind}", _StrictLoader.construct_number)
