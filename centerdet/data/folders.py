"""Listing of folders: every file once, no silent omission, no endless loop of links, nothing of the kernel's."""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from centerdet.files import is_folder

# File systems that show the state of the kernel. They hold no user's files, and may seem endless.
_KERNEL_SYSTEMS = {
    *("proc", "sysfs", "cgroup", "cgroup2", "devpts", "devtmpfs", "debugfs", "tracefs", "securityfs", "selinuxfs"),
    *("configfs", "efivarfs", "pstore", "bpf", "binfmt_misc", "fusectl", "mqueue", "nsfs"),
}


def list_files(folder: Path, *, unlisted: list[Path] | None = None) -> list[Path]:
    """Returns everything in a folder and its subfolders that is no folder, sorted by name; links that lead nowhere too.

    Links to folders are followed. A folder that is reached in two ways is listed once, by its real place if that is
    inside, so that a loop of links ends. Subfolders in file systems of the kernel, such as ``/proc``, are left out.

    Args:
        folder: The folder.
        unlisted: Receives the subfolders that cannot be listed; ``None``: they raise an error.

    Raises:
        ValueError: If a subfolder cannot be listed, or the folder itself is in a file system of the kernel.
    """
    failed: list[Path] = []
    with suppress(OSError):  # _walk notices it
        if folder.stat().st_dev in _kernel_devices():
            raise ValueError(f"{folder} shows the state of the system, it holds no files; name another folder")
    files = [path for place in _walk(folder, failed) for path in _scan(place, failed)[0]]
    if failed and unlisted is None:
        raise ValueError(f"cannot list the folder {failed[0]}; make it readable, or remove it")
    if unlisted is not None:
        unlisted += dict.fromkeys(failed)
    return sorted(files)


def _walk(folder: Path, failed: list[Path]) -> Iterator[Path]:
    """Yields a folder and its subfolders, each real folder once; links come last. None is in a kernel's file system."""
    waiting, links = [folder], list[Path]()
    seen: set[tuple[int, int]] = set()  # device and inode
    kernel = _kernel_devices()
    while waiting or links:
        place = waiting.pop() if waiting else links.pop(0)
        try:
            status = place.stat()
        except OSError:  # a loop of links
            failed.append(place)
            continue
        if (status.st_dev, status.st_ino) in seen or status.st_dev in kernel:
            continue
        seen.add((status.st_dev, status.st_ino))
        yield place
        for path in _scan(place, failed)[1]:
            (links if path.is_symlink() else waiting).append(path)


def _kernel_devices() -> set[int]:
    """Returns the devices of the kernel's own file systems; none where the system does not list them, as on macOS."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    except OSError:
        return set()
    devices = set()
    for fields in (line.split() for line in lines):  # see proc_pid_mountinfo(5): the type follows a lone "-"
        if "-" in fields[6:] and fields[fields.index("-", 6) + 1] in _KERNEL_SYSTEMS:
            major, minor = fields[2].split(":")
            devices.add(os.makedev(int(major), int(minor)))
    return devices


def _scan(folder: Path, failed: list[Path]) -> tuple[list[Path], list[Path]]:
    """Returns the files and the folders in a folder."""
    try:
        with os.scandir(folder) as entries:
            found = sorted((entry.name, _is_dir(entry)) for entry in entries)
    except OSError:
        if folder not in failed:
            failed.append(folder)
        return [], []
    return [folder / name for name, is_dir in found if not is_dir], [folder / name for name, is_dir in found if is_dir]


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links, which the reader of the file reports
        return False


def expand_pattern(pattern: str, *, unlisted: list[Path]) -> list[Path]:
    """Returns the files that match a glob pattern, sorted; ``**`` stands for any folders, and loops of links end.

    As in a shell, wildcards do not match names that begin with a dot.

    Args:
        pattern: The pattern.
        unlisted: Receives the folders that the pattern leads to and that cannot be listed.
    """
    path = Path(pattern)
    parts = path.parts[1:] if path.anchor else path.parts
    parts = tuple(part for index, part in enumerate(parts) if part != "**" or parts[index - 1 : index] != ("**",))
    failed: list[Path] = []
    found = list(_expand(Path(path.anchor), parts, failed))
    unlisted += dict.fromkeys(filter(None, map(_closed_folder, failed)))
    return sorted({match for match in found if not is_folder(match) and os.path.lexists(match)})


def _closed_folder(place: Path) -> Path | None:
    """The folder that keeps a place from being read: itself, or one above it that cannot be entered."""
    if is_folder(place):
        return place
    while not is_folder(place):
        place = place.parent
    return None if os.access(place, os.X_OK) else place


def _expand(folder: Path, parts: Sequence[str], failed: list[Path]) -> Iterator[Path]:
    plain = next((index for index, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    folder = folder.joinpath(*parts[:plain])
    if plain == len(parts):
        try:
            folder.lstat()
        except PermissionError:
            failed.append(folder)
        except (OSError, ValueError):  # it does not exist
            return
        yield folder
        return
    first, rest = parts[plain], parts[plain + 1 :]
    if first == "**":
        for place in _walk(folder, []):  # a place that cannot be listed fails again below, if it is not hidden
            if not any(part.startswith(".") for part in place.relative_to(folder).parts):
                yield from _expand(place, rest or ["*"], failed)
    else:
        for path in (match for part in _scan(folder, failed) for match in part):
            if fnmatch.fnmatchcase(path.name, first) and (first.startswith(".") or not path.name.startswith(".")):
                yield from _expand(path, rest, failed)
