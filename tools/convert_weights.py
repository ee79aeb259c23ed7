"""Converts weights files of format 3 to format 4: the same tensors and values under the new names.

python tools/convert_weights.py OLD NEW
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a checkout works without being installed

from safetensors import safe_open

from centerdet.detector.weights_file import write_weights

LAYERS = {"encode.": "encoder.", "refine.": "decoder."}  # prefixes of the network's tensors
# A dictionary that holds the key on the left is renamed by the table on its right.
KEYS = {
    "blocks": {"widths": "channels", "blocks": "num_blocks", "prior": "heatmap_prior", "heading": "has_heading"},
    "sigma_ratio": {"window": "decode_window"},
    "beta": {"reach": "min_heatmap"},
    "until": {"until": "end_fraction", "window": "crop_size", "no_lines": "num_lines"},
    "ship_probability": {"no_lines": "num_lines"},
    "presence": {
        "presence": "presence_accuracy",
        "heading": "heading_accuracy",
        "heading_of_right": "heading_accuracy_of_correct",
    },
    "play": {
        "lines": "num_lines",
        "play": "vertex_std",
        "width": "width_range",
        "ratio": "aspect_ratio",
        "whole": "integer_coordinates",
    },
    "training": {"intensity": "intensity_range"},
}


def rename_keys(values: Any) -> Any:
    """Renames the keys of nested dictionaries and lists by ``KEYS``; all else stays as it is."""
    if isinstance(values, list):
        return [rename_keys(value) for value in values]
    if not isinstance(values, dict):
        return values
    names = {old: new for key, table in KEYS.items() if key in values for old, new in table.items()}
    renamed = {names.get(name, name): rename_keys(value) for name, value in values.items() if name != "axis_only"}
    return renamed | ({"has_heading": not values["axis_only"]} if "axis_only" in values else {})


def convert(old: Path, new: Path) -> None:
    """Writes a weights file of format 4 with the tensors and values of one of format 3."""
    with safe_open(old, framework="pt") as file:
        header = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    if header.pop("format") not in ("centerdet weights 2", "centerdet weights 3"):
        raise ValueError(f"{old} is not a weights file of format 2 or 3")
    header.pop("digest", None)
    values = {name: rename_keys(json.loads(text)) for name, text in header.items()}
    values["metadata"] = values.pop("report")
    values["intensity_range"] = values.pop("intensity", None)
    write_weights(new, {_rename_layer(name): tensor for name, tensor in tensors.items()}, values)


def _rename_layer(name: str) -> str:
    for old, new in LAYERS.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
