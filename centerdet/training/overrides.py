"""Values of a config that are set on the command line: ``--set training.steps=2000``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from centerdet.strict_yaml import load_yaml, parse

Kind = TypeVar("Kind")


def read_with_overrides(
    path: str | Path | None,
    kind: type[Kind],
    overrides: Sequence[str],
    defaults: Mapping[str, Any] | None = None,
    start: Mapping[str, Any] | None = None,
) -> Kind:
    """Reads a config file and sets values in it.

    Args:
        path: The file; ``None``: an empty one.
        kind: As in ``strict_yaml.read_yaml``.
        overrides: As in ``apply_overrides``.
        defaults: As in ``strict_yaml.read_yaml``.
        start: Sections of a file that lacks them.

    Raises:
        ValueError: As ``strict_yaml.read_yaml`` and ``apply_overrides``.
    """
    values = {} if path is None else load_yaml(path)
    place = f"{path or 'the default settings'}{' with the given options' if overrides else ''}"
    try:
        values = {} if values is None else values
        values = {**(start or {}), **values} if isinstance(values, Mapping) else values
        return parse(kind, apply_overrides(values, overrides), defaults)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def apply_overrides(values: Any, overrides: Sequence[str]) -> Any:
    """Sets values in the content of a config file, before it is checked.

    Args:
        values: The content of the file; ``None`` if it is empty.
        overrides: ``section.key=value`` each. A value is JSON, such as ``2000``, ``1e-3``, ``false``, ``[8, 16]`` or
            ``null``; anything else is text.

    Returns:
        A copy with the values set. Unknown keys are kept, for the check to name them.

    Raises:
        ValueError: If an override has no ``=``, or a part of its path is no section.
    """
    for override in overrides:
        path, equals, text = override.partition("=")
        keys = [key.strip() for key in path.split(".")]
        if not equals or not all(keys):
            raise ValueError(f"wanted SECTION.KEY=VALUE, as training.steps=2000, got {override!r}")
        values = _set({} if values is None else values, keys, _read_value(text.strip()), override)
    return values


def _set(values: Any, keys: Sequence[str], value: Any, override: str) -> Any:
    """Returns a copy of nested sections with one value set."""
    if not keys:
        return value
    if not isinstance(values, Mapping):
        raise ValueError(f"cannot set {override!r}: there is a value {values!r:.60} in place of a section")
    return {**values, keys[0]: _set(values.get(keys[0], {}), keys[1:], value, override)}


def _read_value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
