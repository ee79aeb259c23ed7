"""Labels of Label Studio: one JSON file with a list of tasks, the export format "JSON".

A box is ``{x, y, width, height, rotation}``: percent of the image's width and height, and degrees clockwise about the
top left corner. Format: https://labelstud.io/guide/export
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from centerdet.box import RotatedBox
from centerdet.data.documents import Entry, assign_entries, get_list, get_number, get_section, read_json
from centerdet.data.drawn_box import DrawnBox
from centerdet.data.labels import ErrorCollector, ImageFolder, Label
from centerdet.files import write_atomically

LOCAL_FILES = "/data/local-files/?d="  # address of a file in Label Studio's local storage
_BOXES = ("rectanglelabels", "rectangle")
_OTHER_SHAPES = ("polygon", "brush", "ellipse", "keypoint", "vector", "bitmask")  # beginnings of types


def image_key(name: str) -> str:
    """Returns the name: tasks identify images by their path."""
    return name


def read_labels(
    labels: Path, images: ImageFolder, *, has_heading: bool, errors: ErrorCollector
) -> dict[str, list[Label]]:
    """Reads the labels of the images of a split; as ``labels.LabelReader.read_labels``.

    An image without a task, and a task without an annotation, are errors.
    """
    tasks = read_json(labels)
    if not isinstance(tasks, list):
        raise ValueError(f"{labels} must be a list of tasks; export the project in the format 'JSON'")
    return assign_entries(labels, _read_tasks(labels, tasks, has_heading, errors), images, errors)


def format_task(
    image: str, box: RotatedBox | None, *, size: tuple[int, int], score: float | None = None, label: str = "object"
) -> dict[str, Any]:
    """Returns the task of one image.

    Args:
        image: Path of the image below the root of Label Studio's local storage.
        box: The object's box, or ``None``.
        size: The image's (width, height), px.
        score: Makes the box a prediction, which a person corrects; ``None``: an annotation. Without a box, the score
            of a prediction is 0.
        label: Name of the label.
    """
    results = [] if box is None else [_format_result(box, size, label)]
    data = {"image": LOCAL_FILES + quote(image, errors="surrogateescape")}
    if score is None:
        return {"data": data, "annotations": [{"result": results}]}
    return {"data": data, "predictions": [{"model_version": "centerdet", "score": score, "result": results}]}


def write_file(path: Path, boxes: Mapping[str, RotatedBox | None], sizes: Mapping[str, tuple[int, int]]) -> None:
    """Writes the labels of images, by their names, as annotations; ``sizes`` are (width, height), px."""
    tasks = [format_task(name, box, size=sizes[name]) for name, box in boxes.items()]
    write_atomically(path, (json.dumps(tasks, indent=1) + "\n").encode())


def _format_result(box: RotatedBox, size: tuple[int, int], label: str) -> dict[str, Any]:
    width, height = size
    drawn = DrawnBox.from_box(box)
    x, y = drawn.top_left()
    value = {
        "x": 100 * x / width,
        "y": 100 * y / height,
        "width": 100 * drawn.width / width,
        "height": 100 * drawn.height / height,
        "rotation": math.degrees(drawn.angle),
        "rectanglelabels": [label],
    }
    return {
        "from_name": "label",
        "to_name": "image",
        "type": "rectanglelabels",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": value,
    }


def _read_tasks(path: Path, tasks: Iterable[Any], has_heading: bool, errors: ErrorCollector) -> Iterator[Entry]:
    for number, task in enumerate(tasks, start=1):
        identity = task.get("id", number) if isinstance(task, Mapping) else number
        place = f"{path}, task {identity}"
        with errors.collect(place):
            image = _image_path(get_section(task, "data"))
            yield _read_task(image, task, place, has_heading, errors)


def _read_task(image: str, task: Any, place: str, has_heading: bool, errors: ErrorCollector) -> Entry:
    """Reads the annotation of a task; its entry has no labels after an error."""
    before, labels = len(errors.messages), []
    sizes: list[tuple[int, int]] = []
    with errors.collect(place):
        for number, result in enumerate(_find_annotation(task), start=1):
            with errors.collect(f"{place}, result {number}"):
                if _is_box(result):
                    sizes.append(_read_size(result))
                    box = _read_drawn_box(result, sizes[-1]).to_box(has_heading=has_heading)
                    labels.append(Label(box, f"{place}, result {number}"))
    return Entry(image, place, sizes[0] if sizes else None, labels if len(errors.messages) == before else None)


def _find_annotation(task: Any) -> list[Any]:
    """Returns the results of a task's only annotation that is not cancelled."""
    annotations = [
        annotation
        for annotation in get_list(task, "annotations")
        if not (isinstance(annotation, Mapping) and annotation.get("was_cancelled"))
    ]
    if len(annotations) != 1:
        raise ValueError(f"wanted one annotation, got {len(annotations)}; label the image once, or remove the task")
    return get_list(annotations[0], "result")


def _is_box(result: Any) -> bool:
    """Returns whether a result is a box; further results, such as choices, are ignored.

    Raises:
        ValueError: If it is another shape.
    """
    kind = str(result.get("type")) if isinstance(result, Mapping) else repr(result)
    if kind.startswith(_OTHER_SHAPES):
        raise ValueError(f"wanted a box (rectanglelabels), got a shape of type {kind!r}; draw a box instead")
    return kind in _BOXES


def _read_size(result: Mapping[str, Any]) -> tuple[int, int]:
    if get_number(result, "image_rotation", 0) % 360:
        raise ValueError("the image was turned in Label Studio, and its file is not; turn it back and label it again")
    width, height = (int(get_number(result, f"original_{side}")) for side in ("width", "height"))
    return width, height


def _read_drawn_box(result: Mapping[str, Any], size: tuple[int, int]) -> DrawnBox:
    value = get_section(result, "value")
    x, width = (get_number(value, name) * size[0] / 100 for name in ("x", "width"))
    y, height = (get_number(value, name) * size[1] / 100 for name in ("y", "height"))
    angle = math.radians(get_number(value, "rotation", 0))
    cos, sin = math.cos(angle), math.sin(angle)
    center = x + (width * cos - height * sin) / 2, y + (width * sin + height * cos) / 2
    return DrawnBox(*center, width=width, height=height, angle=angle)


def _image_path(data: Mapping[str, Any]) -> str:
    """Returns the path of a task's image: the part of its address that names the file.

    Raises:
        ValueError: If no value of the task, or more than one, is an address.
    """
    texts = [data["image"]] if "image" in data else [value for value in data.values() if isinstance(value, str)]
    if len(texts) != 1 or not isinstance(texts[0], str):
        raise ValueError(f"wanted the address of an image in 'data', got {list(data)}; name it 'image'")
    try:
        address = urlsplit(texts[0])
    except ValueError as error:
        raise ValueError(f"the address {texts[0]!r} of the image is wrong: {error}") from None
    local = parse_qs(address.query, errors="surrogateescape").get("d")  # bytes that are not UTF-8, as names of files
    return local[0] if local else unquote(address.path, errors="surrogateescape")
