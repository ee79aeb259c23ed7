"""Labels of an Ultralytics data set: YOLO-OBB files in folders named ``labels`` beside those named ``images``.

The label of ``a/images/b/c.png`` is ``a/labels/b/c.txt``: the last ``images`` in the path is replaced. Without one, the
label is beside the image. ``ultralytics_yaml`` reads the data set's file.
"""

from __future__ import annotations

from pathlib import Path

from centerdet.data.image_io import SUFFIXES
from centerdet.data.labels import ErrorCollector, ImageFolder, Label, name_without_suffix
from centerdet.data.yolo_obb import read_file
from centerdet.files import is_present

image_key = name_without_suffix


def read_labels(
    labels: Path, images: ImageFolder, *, has_heading: bool, errors: ErrorCollector
) -> dict[str, list[Label]]:
    """Reads the labels of the images of a split; as ``labels.LabelReader.read_labels``.

    Args:
        labels: The folder or list of the images, for error messages: the images' own paths lead to the labels.
        images: The images.
        has_heading: As in ``labels.LabelReader.read_labels``.
        errors: As in ``labels.LabelReader.read_labels``.
    """
    places = {name: label_path(images.folder / name) for name in images.sizes}
    if places and not any(map(is_present, places.values())):
        example = next(iter(places.values()))
        raise ValueError(f"no image of {labels} has a label file, for example {example}; correct the path")
    found = {}
    for name, size in images.sizes.items():
        if size is not None:
            before = len(errors.messages)
            objects = read_file(places[name], size=size, has_heading=has_heading, errors=errors)
            if len(errors.messages) == before:
                found[name] = objects
    for path in _labels_without_image(places, images.folder):
        errors.add(f"{path}: there is no such image in {images.folder}; remove the file, or add the image")
    return found


def label_path(image: Path) -> Path:
    """Returns the label file of an image."""
    parts = list(image.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _labels_without_image(places: dict[str, Path], folder: Path) -> list[Path]:
    """Returns the label files, in the folders of the labels, for which there is no image file.

    Images that are on the disk but not in the split's list have labels too: those are right.
    """
    image_folders = {path.parent: (folder / name).parent for name, path in places.items()}
    orphans = []
    for label_folder, image_folder in image_folders.items():
        if label_folder == image_folder:
            continue  # other text files may lie beside images
        for path in sorted(label_folder.glob("*.txt")):
            images = (image_folder / f"{path.stem}{suffix}" for suffix in (*SUFFIXES, *map(str.upper, SUFFIXES)))
            if path.stem != "classes" and not any(image.exists() for image in images):
                orphans.append(path)
    return orphans
