"""The table of label formats. A new format is a module with the functions of ``LabelReader``, and one line here."""

from __future__ import annotations

from typing import Literal

from centerdet.data import (
    csv_labels,
    cvat,
    dota,
    label_studio,
    labelimg2,
    labelme,
    rolabelimg,
    ultralytics,
    x_anylabeling,
    yolo_obb,
)
from centerdet.data.labels import LabelReader

LabelFormat = Literal[
    "csv",
    "yolo",
    "dota",
    "label-studio",
    "cvat",
    "labelme",
    "x-anylabeling",
    "labelimg2",
    "rolabelimg",
    "ultralytics",
]

READERS: dict[LabelFormat, LabelReader] = {
    "csv": csv_labels,
    "yolo": yolo_obb,
    "dota": dota,
    "label-studio": label_studio,
    "cvat": cvat,
    "labelme": labelme,
    "x-anylabeling": x_anylabeling,
    "labelimg2": labelimg2,
    "rolabelimg": rolabelimg,
    "ultralytics": ultralytics,
}
