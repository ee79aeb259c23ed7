"""Weights, configs and ONNX models that are valid but ask for much memory: every command refuses them in time."""

import onnx
import pytest

from centerdet.detector.weights_file import read_weights, write_weights
from tests.fuzz.test_commands import assert_one_clear_error
from tests.helpers import save_model

# Commands that take weights.
WEIGHTS = {
    "predict": "centerdet predict image.png --weights weights.safetensors",
    "evaluate": "centerdet evaluate data.yaml --split train --weights weights.safetensors",
    "train": "centerdet train data.yaml --config config.yaml --init weights.safetensors --out run",
    "export": "centerdet export model.onnx --weights weights.safetensors",
    "main": "main.py --num-samples 2 --weights weights.safetensors",
    "visualize": "visualize.py image.png --weights weights.safetensors --out sheet.png",
}
CORNERS = [[0.0, 0.5], [-0.5, -0.5], [0.5, -0.5]]
SCENE = {"outline": CORNERS, "vertex_std": [[0.0, 0.0]] * 3, "width_range": [18.0, 36.0]}
SCENE |= {"noise_level": 0.8, "num_lines": 6, "aspect_ratio": [1.5, 0.2], "integer_coordinates": True, "margin": 10.0}
CALIBRATION = {"a": 1.0, "b": 0.0, "c": 0.0}
STAGE = {"in_channels": 3, "hypotheses": {}, "peak_calibration": CALIBRATION}


def refinement(**scene):
    return {"refinement": {"scene": SCENE | scene, "threshold": 0.5, "calibration": CALIBRATION}}


# Entries of a header, each with a digest that fits.
HEADERS = {
    "100,000 channels": {"network": {"channels": [100_000, 100_000], "num_blocks": [1, 1]}},
    "the largest network": {"network": {"channels": [4096] * 6, "num_blocks": [64] * 6}},
    "a billion blocks": {"network": {"channels": [8, 8], "num_blocks": [1, 10**9]}},
    "a large stride": {"network": {"channels": [8, 8], "num_blocks": [1, 1], "stride": 2**40}},
    "many levels": {"network": {"channels": [8] * 10**5, "num_blocks": [1] * 10**5}},
    "a large window": {"codec": {"decode_window": 10**9 + 1}},
    "a size of nothing": {"codec": {"size_unit": 1e-308}},
    "a huge size": {"codec": {"size_unit": 1e308}},
    "100,000 corners": refinement(outline=[[0.1, 0.1]] * 10**5, vertex_std=[[0.0, 0.0]] * 10**5),
    "widths of a billion": refinement(width_range=[18.0, 1e9]),
    "a huge aspect": refinement(aspect_ratio=[1e9, 1.0]),
    "a huge margin": refinement(margin=1e12),
    "a billion lines": refinement(num_lines=10**9),
    "large crops": {"second_stage": STAGE | {"network": {"rows": 10**6, "columns": 10**6}}},
    "large layers": {"second_stage": STAGE | {"network": {"channels": [10**6] * 3, "hidden": [10**9, 10**9]}}},
    "many passes": {"second_stage": STAGE | {"network": {}, "hypotheses": {"passes": 10**9, "peaks": 10**9}}},
    "an infinite threshold": {"threshold": float("inf")},
    "a number of 400 digits": {"threshold": int("9" * 400)},
    "an intensity range of nothing": {"intensity_range": [0.0, 5e-324]},
}
# Settings of both kinds of training; the others are those of one of them.
ANY_CONFIG = {
    "a billion blocks": "network: {num_blocks: [1, 1, 1000000000]}",
    "a large network": f"network: {{channels: {[4096] * 6}, num_blocks: {[64] * 6}}}",
    "deep": "[" * 5000,
    "long": f"training: {{steps: {'9' * 400}}}",
    "many steps": "training: {steps: 1000000000000000000}",
    "a huge rate": "training: {learning_rate: 1.0e+300}",
    "a huge weight": "loss: {size_weight: 1.0e+300}",
    "aliases": "a: &a [x, x]\nb: [*a, *a]",
    "large blocks": "second_stage: {images_per_block: 1000000000}",
    "many starts": "second_stage: {starts: {starts: 1000000000}}",
    "large shares": "second_stage: {training: {batch_shares: [1000000000]}}",
}
CONFIGS = {
    "config.yaml": {
        **ANY_CONFIG,
        "a large batch": "batch_size: 1000000000",
        "a huge size": "size_unit: 1.0e+308",
        "a size of nothing": "size_unit: 1.0e-308",
        "a scale of nothing": "augmentation: {scale: [1.0e-300, 1.0e-300]}",
        "a huge scale": "augmentation: {scale: [1.0e+300, 1.0e+300]}",
    },
    "scenes.yaml": {
        **ANY_CONFIG,
        "a large batch": "curriculum: {batch_size: 1000000000}",
        "many lines": "scenes: {num_lines: 1000000000}",
        "many lines in a phase": "curriculum: {phases: [{num_lines: 1000000000}]}",
        "large scenes": "scenes: {image_size: 1000000}",
        "many scenes": "validation: {scenes: 1000000000000}",
        "many further scenes": "validation: {calibration_scenes: 1000000000000}",
        "a large window": "codec: {decode_window: 1000000001}",
        "a huge size": "codec: {size_unit: 1.0e+308}",
    },
}


def spread(names, commands):
    """Every case with every command: by default with one of them, in turn; ``-m slow`` has the others."""
    cases = []
    for index, name in enumerate(names):
        for number, command in enumerate(commands):
            marks = [] if number == index % len(commands) else [pytest.mark.slow]
            cases.append(pytest.param(name, command, marks=marks, id=f"{command}-{name}"))
    return cases


def assert_refused(done, name):
    assert done.code == 2, (done.out, done.err)
    assert_one_clear_error(done, name)


@pytest.mark.parametrize(("name", "command"), spread(HEADERS, WEIGHTS))
def test_weights_that_ask_for_much_are_refused(name, command, run, place):
    path = place / "weights.safetensors"
    tensors, header = read_weights(path)
    write_weights(path, tensors, header | HEADERS[name])
    assert_refused(run(*WEIGHTS[command].split()), "weights.safetensors")


TRAIN = {
    "config.yaml": "centerdet train data.yaml --config config.yaml --out run",
    "scenes.yaml": "train.py --config scenes.yaml --out run",
}


@pytest.mark.parametrize(("file", "name"), [(file, name) for file, cases in CONFIGS.items() for name in cases])
def test_configs_that_ask_for_much_are_refused(file, name, run, place):
    (place / file).write_text(CONFIGS[file][name])
    done = run(*TRAIN[file].split())
    assert done.code == 2, (done.out, done.err)
    assert_one_clear_error(done, file)


def fill(model, dims):
    """Makes the boxes a constant of the given shape."""
    value = onnx.helper.make_tensor("value", onnx.TensorProto.FLOAT, [1], [0.5])
    shape = onnx.helper.make_tensor("dims", onnx.TensorProto.INT64, [len(dims)], dims)
    model.graph.initializer.append(shape)
    nodes = [node for node in model.graph.node if "boxes" not in node.output]
    del model.graph.node[:]
    model.graph.node.extend([*nodes, onnx.helper.make_node("ConstantOfShape", ["dims"], ["boxes"], value=value)])


def point_outside(model):
    """Stores a weight in another file."""
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def enlarge(model):
    """Declares a weight that is larger than the file."""
    tensor = next(one for one in model.graph.initializer if len(one.dims) == 4)
    tensor.dims[0] = 10**12


def nest(model):
    """A metadata entry nested too deeply."""
    next(entry for entry in model.metadata_props if entry.key == "metadata").value = "[" * 10**5


MODELS = {
    "a result of 20 TB": lambda model: fill(model, [10**12, 5]),
    "a result of 20 GB": lambda model: fill(model, [10**9, 5]),
    "another number of boxes": lambda model: fill(model, [7, 5]),
    "a weight in another file": point_outside,
    "a weight of 4 TB": enlarge,
    "deep metadata": nest,
}
MODEL_COMMANDS = {
    "predict": "centerdet predict image.png --weights model.onnx",
    "evaluate": "centerdet evaluate data.yaml --split train --weights model.onnx",
}


@pytest.mark.parametrize(("name", "command"), spread(MODELS, MODEL_COMMANDS))
def test_models_that_ask_for_much_are_refused(name, command, run, place, exported):
    model = onnx.load(exported[1])
    MODELS[name](model)
    save_model(model, place / "model.onnx")
    done = run(*MODEL_COMMANDS[command].split())
    assert done.code == 2, (done.out, done.err)
    assert "Traceback" not in done.err
    assert done.err.splitlines()[-1].startswith("error: ")
