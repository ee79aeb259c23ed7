"""The converter of weights files keeps tensors and answers to the bit."""

import json

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import centerdet
from tests.helpers import make_detector
from tools.convert_weights import convert


def to_format_3(new, old):
    """Writes a file of format 4 as format 3 had it."""
    with safe_open(new, framework="pt") as file:
        header = {name: json.loads(text) for name, text in file.metadata().items() if name not in ("format", "digest")}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    network, codec = header["network"], header["codec"]
    for before, after in (("widths", "channels"), ("blocks", "num_blocks"), ("prior", "heatmap_prior")):
        network[before] = network.pop(after)
    network["heading"], codec["window"] = network.pop("has_heading"), codec.pop("decode_window")
    scene = header["refinement"]["scene"]
    for before, after in (("lines", "num_lines"), ("play", "vertex_std"), ("width", "width_range")):
        scene[before] = scene.pop(after)
    scene["ratio"], scene["whole"] = scene.pop("aspect_ratio"), scene.pop("integer_coordinates")
    header["report"], header["intensity"] = header.pop("metadata"), header.pop("intensity_range")
    header["report"]["validation"] = {"presence": 0.5, "heading": 0.25, "heading_of_right": 0.75}
    old_names = {name: name.replace("encoder.", "encode.").replace("decoder.", "refine.") for name in tensors}
    texts = {"format": "centerdet weights 3"} | {name: json.dumps(value) for name, value in header.items()}
    save_file({old_names[name]: tensor for name, tensor in tensors.items()}, old, texts)


def test_a_converted_file_has_the_same_tensors_and_answers(tmp_path):
    detector = make_detector()
    detector.intensity_range, detector.refinement = (0.0, 2.0), centerdet.RefinementConfig(threshold=0.25)
    detector.save(tmp_path / "before.safetensors")
    to_format_3(tmp_path / "before.safetensors", tmp_path / "old.safetensors")
    convert(tmp_path / "old.safetensors", tmp_path / "new.safetensors")
    converted = centerdet.load(tmp_path / "new.safetensors")
    ours, theirs = detector.network.state_dict(), converted.network.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert converted.network.config == detector.network.config
    assert converted.codec.config == detector.codec.config
    assert (converted.refinement, converted.intensity_range) == (detector.refinement, (0.0, 2.0))
    assert converted.metadata["validation"] == {
        "presence_accuracy": 0.5,
        "heading_accuracy": 0.25,
        "heading_accuracy_of_correct": 0.75,
    }
    image = np.random.default_rng(0).random((96, 128))
    assert converted.detect(image) == detector.detect(image)
    assert (converted.heatmap(image) == detector.heatmap(image)).all()
