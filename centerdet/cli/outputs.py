"""Check of a command's output files, before its work: nothing is overwritten that the user may still need."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from centerdet.files import check_folder, is_folder, writes_through


class Output(NamedTuple):
    """A file that a command will write.

    Attributes:
        option: The option or argument that names it, for messages.
        path: The file; ``None``: the option was not given.
        is_ours: Whether an existing file holds an earlier result of the same kind, which may be replaced.
        makes_folder: Whether the command makes the folder of the file.
    """

    option: str
    path: Path | None
    is_ours: Callable[[Path], bool]
    makes_folder: bool = False


def add_overwrite_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--overwrite``, for ``check_outputs``."""
    parser.add_argument(
        "--overwrite", action="store_true", help="replace output files, also such as no earlier run has written"
    )


def check_outputs(outputs: Sequence[Output], inputs: Iterable[Path], *, overwrite: bool) -> None:
    """Checks that no output replaces an input, another output, or a file of another origin.

    Links, hard links and other spellings of a path count as the same file. An empty file may be replaced.

    Args:
        outputs: The files to write.
        inputs: The files that the command reads. They are not listed if no output exists.
        overwrite: Whether files that are no earlier results may be replaced; inputs never are.

    Raises:
        ValueError: If an output cannot be written, or would replace such a file.
    """
    taken: dict[object, str] = {}
    files = [(path, output) for output in outputs if (path := output.path) is not None and not writes_through(path)]
    for path, output in files:
        check_folder(path, makes_folder=output.makes_folder)
    if any(os.path.lexists(path) for path, _ in files):
        for path in inputs:
            taken.update(dict.fromkeys(_identities(path), f"the input {path}"))
    for path, (option, _, is_ours, _) in files:
        identities = _identities(path)
        for other in (taken[identity] for identity in identities if identity in taken):
            raise ValueError(f"cannot write {path} ({option}): it would overwrite {other}; name another file")
        taken.update(dict.fromkeys(identities, f"{path} ({option})"))
        if not overwrite and not _is_replaceable(path, is_ours):
            raise ValueError(
                f"cannot write {path} ({option}): the file exists, and is not recognised as an earlier result of this "
                "kind; name another file, or add --overwrite to replace it"
            )


def _identities(path: Path) -> list[object]:
    """Returns what identifies a file: its real path and, if it exists, its device and inode."""
    try:
        real = os.path.realpath(path)
    except (OSError, ValueError):  # no file has that name, or nobody may know
        return [str(path)]
    try:
        found = Path(real).stat()
    except OSError:
        return [real]
    return [real, (found.st_dev, found.st_ino)]


def _is_replaceable(path: Path, is_ours: Callable[[Path], bool]) -> bool:
    try:
        return not path.exists() or (path.stat().st_size == 0 and is_ours is not never_ours) or is_ours(path)
    except OSError:  # a file that cannot be read is not recognised
        return False


def never_ours(path: Path) -> bool:
    """For kinds of files that bear no mark of their origin, such as YOLO labels: even an empty one has a meaning."""
    return False


def weights_file(name: str | None) -> list[Path]:
    """Returns the file of ``--weights``, as the inputs of ``check_outputs``."""
    from centerdet.detector.pretrained import PRETRAINED, pretrained_path

    name = "accurate" if name is None else name
    return [pretrained_path(name) if name in PRETRAINED else Path(name)]


def dataset_files(data: Path) -> Iterator[Path]:
    """Yields the files of a data set as far as they can be found: its YAML file, images and labels."""
    from centerdet.data.config import read_data_config
    from centerdet.data.folders import list_files
    from centerdet.data.splits import split_images

    yield data
    with suppress(ValueError):  # the command itself reads the data set, and names the error
        config = read_data_config(data)
        for split, where in config.sources().items():
            labels = data.parent / where.labels
            yield labels
            with suppress(ValueError):
                yield from list_files(labels, unlisted=[]) if is_folder(labels) else []
            with suppress(ValueError):
                yield from split_images(config, split, data.parent)


def check_new_folder(path: Path) -> None:
    """Checks that a folder for results is new or empty.

    Raises:
        ValueError: If it is not.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ValueError(f"{path} exists already; name a new folder (--out)")
