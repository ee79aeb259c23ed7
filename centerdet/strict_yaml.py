"""Strict reading of YAML files into dataclasses: no unknown keys, no converted types, no key twice, no aliases."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import yaml
from pydantic import TypeAdapter, ValidationError

Section = TypeVar("Section")


def read_yaml(path: str | Path, kind: type[Section], defaults: Mapping[str, Any] | None = None) -> Section:
    """Reads a file; sections and keys that are left out have their defaults.

    Args:
        path: The file.
        kind: A dataclass; its fields are the file's keys, fields that are dataclasses are sections.
        defaults: What sections leave out, if not the defaults of their own types.

    Raises:
        ValueError: If it cannot be read, is not YAML, or a key or value is not allowed; the message names it.
    """
    try:
        values = yaml.load(Path(path).read_text(encoding="utf-8"), _StrictLoader)
    except Exception as error:  # PyYAML fails in any way, as with KeyError at "!!bool maybe"
        raise ValueError(f"cannot read {path}: {' '.join(str(error).split())}") from None
    try:
        return parse(kind, {} if values is None else values, defaults)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def parse(kind: type[Section], values: Any, defaults: Mapping[str, Any] | None = None) -> Section:
    """Turns what a file holds into a dataclass, strictly; ``defaults`` as in ``read_yaml``.

    Raises:
        ValueError: If a key or value is not allowed.
    """
    _refuse_unknown(values, kind, "")
    for name, section in (defaults or {}).items():
        if isinstance(section, Mapping) and name in values:
            values = {**values, name: {**section, **values[name]}}
    try:
        text = json.dumps(values, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"only finite numbers, text, lists and sections are allowed: {error}") from None
    try:
        # JSON mode: strict about types, but lists are tuples and whole numbers are floats where those are wanted.
        return TypeAdapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where, message = ".".join(str(part) for part in first["loc"]), first["msg"].removeprefix("Value error, ")
        seen = "" if "got" in message else f", got {first['input']!r}"
        raise ValueError(f"{where}: {message}{seen}".removeprefix(": ")) from None


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe loader; two more things are errors.

    A key that stands twice in a section (the last one would win in silence), and aliases, with which a few lines can
    mean gigabytes.
    """

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "aliases are not allowed; write the value out", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if double := sorted({str(key) for key in keys if keys.count(key) > 1}):
            raise yaml.constructor.ConstructorError(None, None, f"key {double[0]!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _refuse_unknown(values: Any, kind: type, where: str) -> None:
    """Walks sections, and lists of sections, in step with the dataclass that they become."""
    if not isinstance(values, Mapping):
        raise ValueError(f"{where or 'the file'} must hold 'key: value' lines, got {values!r}")
    hints = get_type_hints(kind)
    names = [entry.name for entry in fields(kind)]
    for key, value in values.items():
        place = f"{where}.{key}" if where else str(key)
        if key not in names:
            begun = [name for name in names if name.startswith(str(key))]  # 'val' for 'validation'
            near = begun or difflib.get_close_matches(str(key), names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}"
            raise ValueError(f"unknown key {place!r}; {hint}")
        hint = hints[key]
        if type(None) in get_args(hint):  # an optional section
            if value is None:
                continue
            hint = next(kind for kind in get_args(hint) if kind is not type(None))
        if is_dataclass(hint):
            _refuse_unknown(value, hint, place)
        elif (items := get_args(hint)) and is_dataclass(items[0]) and isinstance(value, list):
            for index, item in enumerate(value):
                _refuse_unknown(item, items[0], f"{place}.{index}")
