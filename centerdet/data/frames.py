"""Frames of image stacks (TIFF files of several pages) and of videos (AVI, MP4, MOV), read one at a time.

A page of a stack is read as a TIFF file of one page is, by the same decoder: the copy of the header in memory leads to
it. So it has the same compressions, types and checks, and a stack may be larger than the memory.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from centerdet.data.image_headers import check_picture_size, image_size, page_size, tiff_pages, unreadable
from centerdet.data.image_io import check_usable, decode_picture, opencv_silent, read_image, to_grey
from centerdet.files import open_regular
from centerdet.parallel import prefetch

VIDEO_SUFFIXES = (".avi", ".mp4", ".mov")  # their headers count the frames, so that none is lost in silence
_STACK_SUFFIXES = (".tif", ".tiff")
_MP4_PARTS = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")  # first parts of MP4 and MOV files
_MAX_AHEAD, _MAX_AHEAD_PIXELS = 32, 2**24  # frames, and pixels of these, that are read ahead
_MAX_BROKEN = 100  # frames in a row that cannot be decoded: the rest of the video is given up


class Frame(NamedTuple):
    """An image file, or one frame of a stack or video.

    Attributes:
        path: The file.
        number: Of the frame, from 0; ``None``: the file is one image.
        size: Width and height, px.
        read: Reads the pixels ``(H, W)``; raises a ``ValueError`` that names file and frame.
    """

    path: Path
    number: int | None
    size: tuple[int, int]
    read: Callable[[], NDArray]


def is_sequence(path: Path) -> bool:
    """Whether a file is a video, by its suffix, or a TIFF file of several pages. Unreadable files are not."""
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return True
    if path.suffix.lower() not in _STACK_SUFFIXES:
        return False
    try:
        with open_regular(path) as file:
            pages = tiff_pages(file)
            return next(pages, None) is not None and next(pages, None) is not None
    except (OSError, ValueError, struct.error):
        return False


def read_frames(path: Path) -> Iterator[Frame | ValueError]:
    """Yields the image of a file, or the frames of a stack or video; an error for each that cannot be read.

    Args:
        path: The file.
    """
    try:
        if path.suffix.lower() in VIDEO_SUFFIXES:
            yield from _read_video(path)
        elif is_sequence(path):
            yield from _read_stack(path)
        else:
            yield Frame(path, None, image_size(path), lambda: read_image(path))
    except Exception as error:  # damaged files make the readers raise many types
        yield error if isinstance(error, ValueError) and str(path) in str(error) else unreadable(path, error)


def prefetch_frames(path: Path) -> Iterator[Frame | ValueError]:
    """Yields as ``read_frames``; a thread reads the following frames of a stack or video meanwhile.

    It reads at most ``_MAX_AHEAD`` frames of ``_MAX_AHEAD_PIXELS`` together, or one, and holds twice as many.
    """
    frames = read_frames(path)
    first = next(frames, None)
    if not isinstance(first, Frame) or first.number is None:
        yield from [first] if first else []
        yield from frames
        return
    width, height = first.size
    count = min(_MAX_AHEAD, max(1, _MAX_AHEAD_PIXELS // (width * height)))
    yield from prefetch(map(_read_now, chain([first], frames)), count)


def _read_now(frame: Frame | ValueError) -> Frame | ValueError:
    if isinstance(frame, ValueError):
        return frame
    try:
        image = frame.read()
    except ValueError as error:
        return error
    return frame._replace(read=lambda: image)


def read_usable_frame(frame: Frame, check: Callable[[NDArray], object]) -> NDArray:
    """Reads a frame ``(H, W)`` and checks its pixels as ``image_io.read_usable`` does."""
    return check_usable(frame.read(), check, frame_name(frame.path, frame.number))


def frame_name(path: Path, index: int | None) -> str:
    """Returns the name of an image or frame, for messages."""
    return str(path) if index is None else f"{path}, frame {index}"


def _read_stack(path: Path) -> Iterator[Frame | ValueError]:
    with open_regular(path) as file:
        for index, offset in enumerate(tiff_pages(file, strict=True)):
            try:
                yield Frame(path, index, page_size(file, offset), _page_reader(path, index, offset))
            except Exception as error:
                yield unreadable(Path(frame_name(path, index)), error)


def _page_reader(path: Path, index: int, offset: int) -> Callable[[], NDArray]:
    def read() -> NDArray:
        with open_regular(path) as file:
            content = np.memmap(file, dtype=np.uint8, mode="c")  # changes stay in memory, and go with it
        order = "<" if content[:2].tobytes() == b"II" else ">"
        big = 43 in content[2:4]  # BigTIFF
        header = np.frombuffer(struct.pack(order + ("Q" if big else "I"), offset), np.uint8)
        start = 8 if big else 4
        content[start : start + len(header)] = header
        count = int.from_bytes(
            content[offset : offset + (8 if big else 2)].tobytes(), "little" if order == "<" else "big"
        )
        end = offset + (8 + 20 * count if big else 2 + 12 * count)
        content[end : end + len(header)] = 0  # no further page: the decoder would count them all, for every page
        try:
            return decode_picture(content)
        except Exception as error:
            raise unreadable(Path(frame_name(path, index)), error) from None

    return read


def _read_video(path: Path) -> Iterator[Frame | ValueError]:
    with open_regular(path) as file:
        start = file.read(12)
    if not (start[:4] == b"RIFF" and start[8:] == b"AVI ") and start[4:8] not in _MP4_PARTS:
        raise ValueError("it is no AVI, MP4 or MOV video")  # others could lead FFmpeg to further files
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # quiet: errors are reported by exceptions
    with opencv_silent():
        video = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG)
    try:
        width, height = (int(video.get(key)) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if not video.isOpened():
            raise ValueError("it is damaged, or has a type that OpenCV cannot read; save it again as MP4")
        check_picture_size(width, height)
        yield from _decode_video(path, video, (width, height))
    finally:
        video.release()


def _decode_video(path: Path, video: cv2.VideoCapture, size: tuple[int, int]) -> Iterator[Frame | ValueError]:
    count, index, broken = int(video.get(cv2.CAP_PROP_FRAME_COUNT)), 0, 0
    while True:
        with opencv_silent():
            good, picture = video.read()
        if not good and index >= count:
            break
        name = Path(frame_name(path, index))
        if good:
            grey = to_grey(picture[..., ::-1])  # OpenCV's order is blue, green, red
            yield Frame(path, index, (grey.shape[1], grey.shape[0]), lambda grey=grey: grey)  # type: ignore[misc]
        else:
            yield unreadable(name, "it is damaged or missing; repair the video")
        broken = 0 if good else broken + 1
        index += 1
        if broken == _MAX_BROKEN and index < count:
            yield unreadable(name, f"so are all frames from it to {count - 1}, probably; repair the video")
            break
    if not index:
        raise ValueError("it has no frame; repair the video")
