"""Results in Python: detection in files as an iterator, pictures, tables, and detections of other libraries."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from centerdet.box import Detection
from centerdet.data.predict import FileResult, find_files, predict_files
from centerdet.detector.base import BaseDetector
from centerdet.drawing import Picture, draw_detection, picture_scale

if TYPE_CHECKING:
    import pandas
    import supervision

_BOX_COLUMNS = ("x", "y", "yaw", "width", "height")


def predict(
    images: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    detector: BaseDetector | None = None,
    *,
    batch_size: int = 32,
    on_error: Callable[[str], None] | None = None,
) -> Iterator[FileResult]:
    """Finds the object in each of many image files, and yields each result as soon as it is known.

    TIFF files of several pages and videos (AVI, MP4, MOV) have a result for each frame. Memory does not grow with the
    number of files or frames.

    Args:
        images: A file, a folder (with its subfolders), a glob pattern, or several of these.
        detector: A ``Detector`` or an ``OnnxDetector``; ``None``: the accurate weights.
        batch_size: Number of images in a batch.
        on_error: Called with a one-line message for each image or frame that cannot be used; it is skipped.
            ``None``: the message is a warning.

    Raises:
        ValueError: If there is no such file, a folder holds no image, or batch_size is below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    patterns = [images] if isinstance(images, str | os.PathLike) else list(images)
    paths = find_files([os.fspath(pattern) for pattern in patterns])  # here, not at the first result
    if detector is None:
        from centerdet.detector.pretrained import load  # needs torch, which an exported model does not

        detector = load()
    return predict_files(detector, paths, on_error=on_error or _warn, batch_size=batch_size)


def draw(
    image: ArrayLike, detection: Detection | None = None, heatmap: NDArray | None = None, *, scale: int | None = None
) -> Picture:
    """Draws an image with the detected box, its heading and score, and the heatmap in red.

    Args:
        image: ``(H, W)``: floats in [0, 1], or integers of the type's full range.
        detection: The detection.
        heatmap: ``(H, W)``, of ``detector.heatmap(image)``.
        scale: Whole factor by which the picture is enlarged; ``None``: chosen by the image's size.

    Returns:
        RGB ``(H * scale, W * scale, 3)``, an array that notebooks show as a picture.
    """
    pixels = np.asarray(image)
    if pixels.ndim != 2:
        raise ValueError(
            f"an image must have 2 dimensions (height, width), got shape {pixels.shape}; select one channel"
        )
    scale = picture_scale(pixels.shape) if scale is None else scale
    has_heading = detection is None or detection.has_heading
    picture = draw_detection(pixels, predicted=detection, heatmap=heatmap, scale=scale, has_heading=has_heading)
    return picture.view(Picture)


def to_table(results: Iterable[FileResult]) -> pandas.DataFrame:
    """Returns a table of many results: image, x, y, yaw, width, height, score, has_heading and frame.

    No object has blanks; images that are no frames of a stack or video have a blank frame.

    Args:
        results: Of ``predict``. They are read one at a time, and their pixels are not kept.

    Raises:
        ImportError: If pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise ImportError("a table needs the package pandas: pip install '.[table]'") from None
    rows = [_table_row(result) for result in results]
    columns = ["image", *_BOX_COLUMNS, "score", "has_heading", "frame"]
    table = pandas.DataFrame(rows, columns=columns)
    return table.astype(
        dict.fromkeys((*_BOX_COLUMNS, "score"), "float64") | {"has_heading": "boolean", "frame": "Int64"}
    )


def to_supervision(detections: Detection | Iterable[Detection | None] | None) -> supervision.Detections:
    """Returns detections of the library supervision, with oriented boxes; ``None`` gives no entry.

    The yaws are in ``data["yaw"]``, rad. The corners are those of ``RotatedBox.corners``.

    Raises:
        ImportError: If supervision is not installed.
    """
    try:
        import supervision
    except ImportError:
        raise ImportError("detections of supervision need that package: pip install supervision") from None
    several = [detections] if detections is None or isinstance(detections, Detection) else detections
    found = [detection for detection in several if detection is not None]
    if not found:
        return supervision.Detections.empty()
    corners = np.stack([detection.box.corners() for detection in found])  # (N, 4, 2)
    return supervision.Detections(
        xyxy=np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1),
        confidence=np.array([detection.score for detection in found]),
        class_id=np.zeros(len(found), int),
        data={"xyxyxyxy": corners, "yaw": np.array([detection.box.yaw for detection in found])},
    )


def _table_row(result: FileResult) -> dict[str, Any]:
    values = result.to_dict()
    return {**values, **(values.pop("box") or {})}


def _warn(message: str) -> None:
    warnings.warn(f"skipped: {message}", stacklevel=2)
