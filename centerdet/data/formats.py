"""The table of label formats. A new format is a module with the functions of ``LabelReader``, and one line here."""

from __future__ import annotations

from typing import Literal

from centerdet.data import csv_labels, dota, yolo_obb
from centerdet.data.labels import LabelReader

LabelFormat = Literal["csv", "yolo", "dota"]

READERS: dict[LabelFormat, LabelReader] = {"csv": csv_labels, "yolo": yolo_obb, "dota": dota}
