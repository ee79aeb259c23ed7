"""JSON and XML label files: reading them, checking their values, and finding the images that they name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from centerdet.data.labels import ErrorCollector, ImageFolder, Label, read_number
from centerdet.files import escape_character, read_regular

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAX_BYTES = 2**28  # of a label file: 256 MiB hold the labels of half a million images
_NOT_IN_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-")  # Label Studio puts one before the names of uploaded files


class Entry(NamedTuple):
    """What a label file has on one image.

    Attributes:
        image: The image as the labelling tool names it: a name, a path or an address.
        place: File and element, for error messages.
        size: Width and height of the image in the tool, px; ``None`` if the file does not have them.
        labels: The objects; ``None`` if one of them has an error.
    """

    image: str
    place: str
    size: tuple[int, int] | None
    labels: list[Label] | None


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        ValueError: If the file cannot be read, or is not JSON.
    """
    try:
        return json.loads(read_regular(path, max_bytes=MAX_BYTES).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"cannot read labels {path}: {error}; correct the file, or export it again") from None


def read_xml(path: Path) -> Element:
    """Reads an XML file without entities or references to other files, and returns its root.

    Raises:
        ValueError: If the file cannot be read, or is not such XML.
        ImportError: If defusedxml is not installed.
    """
    try:
        from defusedxml import DefusedXmlException
        from defusedxml.ElementTree import ParseError, fromstring
    except ImportError:
        raise ImportError("labels in XML need the package defusedxml: pip install '.[labels]'") from None
    try:
        return fromstring(read_regular(path, max_bytes=MAX_BYTES), forbid_dtd=True)
    except DefusedXmlException as error:
        raise ValueError(f"cannot read labels {path}: entities and DTDs are not allowed: {error}") from None
    except (ParseError, ValueError, LookupError, RecursionError) as error:
        raise ValueError(f"cannot read labels {path}: {error}; correct the file, or export it again") from None


def xml_name(name: str) -> str:
    r"""Returns a name as XML can hold it: other characters become ``\x1b``, and bytes that are not UTF-8 ``\xff``."""
    return _NOT_IN_XML.sub(lambda match: escape_character(match[0]), name)


def get_section(values: Any, name: str) -> Mapping[str, Any]:
    """Returns the object of a name in a JSON object.

    Raises:
        ValueError: If there is none.
    """
    section = values.get(name) if isinstance(values, Mapping) else None
    if not isinstance(section, Mapping):
        raise ValueError(f"wanted an object {name!r}, got {_shorten(section)}")
    return section


def get_list(values: Any, name: str) -> list[Any]:
    """Returns the list of a name in a JSON object.

    Raises:
        ValueError: If there is none.
    """
    found = values.get(name) if isinstance(values, Mapping) else None
    if not isinstance(found, list):
        raise ValueError(f"wanted a list {name!r}, got {_shorten(found)}")
    return found


def get_number(values: Mapping[str, Any], name: str, default: float | None = None) -> float:
    """Returns the number of a name in a JSON object or in the attributes of an XML element.

    Raises:
        ValueError: If there is none and no default, or it is no number of a label.
    """
    value = values.get(name, default)
    if value is None:
        raise ValueError(f"{name} is missing")
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{name} must be a number, got {_shorten(value)}")
    try:
        return read_number(str(value))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def check_size(size: tuple[int, int], image_size: tuple[int, int], name: str) -> None:
    """Checks that an image has the size that it had in the labelling tool.

    Raises:
        ValueError: If it has another size, so that the labels would be in the wrong place.
    """
    if size != image_size:
        raise ValueError(
            f"the labels are for {size[0]} x {size[1]} px, and {name} has {image_size[0]} x {image_size[1]}; "
            "give the image that was labelled"
        )


def assign_entries(
    path: Path, entries: Iterable[Entry], images: ImageFolder, errors: ErrorCollector
) -> dict[str, list[Label]]:
    """Assigns the entries of a label file to the images of a split; as ``labels.LabelReader.read_labels``.

    An image without an entry is an error, and so is an entry without an image.
    """
    names = _names_by_end(images.known_names)
    found: dict[str, list[Label] | None] = {}
    for entry in entries:
        with errors.collect(entry.place):
            name = _find_name(entry.image, names, images.folder)
            if name in found:
                raise ValueError(f"{name} has another entry; remove one")
            found[name] = None
            size = images.sizes.get(name)
            if size and entry.size:
                check_size(entry.size, size, name)
            found[name] = entry.labels
    for name in images.sizes:
        if name not in found:
            errors.add(f"{images.folder / name}: it has no entry in {path}; label it, or remove it from the folder")
    return {name: labels for name in images.sizes if (labels := found.get(name)) is not None}


def _names_by_end(names: Iterable[str]) -> dict[str, set[str]]:
    """Returns the names by every end of their paths, also as XML has them: ``a/b.png`` by itself and by ``b.png``."""
    ends: dict[str, set[str]] = {}
    for name in names:
        for end in (end for spelling in {name, xml_name(name)} for end in _path_ends(spelling)):
            ends.setdefault(end, set()).add(name)
    return ends


def _path_ends(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _find_name(image: str, names: Mapping[str, set[str]], folder: Path) -> str:
    """Returns the name of the image whose path agrees best with what a labelling tool names.

    The whole name is looked for first, in any folder of the tool; then its last parts, if the tool left out folders. A
    backslash is first taken as a part of the name.

    Raises:
        ValueError: If no image, or more than one, agrees with it.
    """
    ends = [end for spelling in (image, image.replace("\\", "/")) for end in _path_ends(spelling)]
    ends.append(_UPLOAD_PREFIX.sub("", ends[-1]))
    for end in ends:
        found = names.get(end, set())
        whole = [name for name in found if end == name] or [name for name in found if end == xml_name(name)]
        if len(whole) == 1:
            return whole[0]
    for end in ends:
        found = names.get(end, set())
        if len(found) == 1:
            return next(iter(found))
        if found:
            raise ValueError(f"{image!r} could be {' or '.join(sorted(found)[:2])}; give the images different names")
    raise ValueError(f"there is no image {image!r} in {folder}; remove the entry, or add the image")


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
