"""Imports go one way, importing is cheap and silent, and architecture.txt tells the truth."""

import ast
import importlib
import subprocess
import sys

import pytest

import centerdet
from centerdet.training.config import read_config
from tests.helpers import ROOT
from tools.write_architecture import describe

# Each module, and the modules of ours that it may import.
ALLOWED = {
    "box": set(),
    "maps": set(),
    "files": set(),
    "threads": set(),
    "command": {"files"},
    "scenes": {"box"},
    "raster": set(),
    "scene_batches": {"images", "maps", "raster", "scenes"},
    "images": set(),
    "finder": {"box", "images"},
    "codec": {"maps"},
    "processes": {"maps"},
    "symmetry": {"processes"},
    "network": {"maps", "symmetry"},
    "losses": {"maps", "processes"},
    "calibration": set(),
    "report": {"box", "calibration"},
    "breakdown": {"box", "report"},
    "metrics": {"box", "calibration", "report"},
    "viz": {"box"},
    "weights_file": {"files"},
    "scene_facts": {"calibration"},
    "refine.edges": set(),
    "refine.segments": {"refine.edges"},
    "refine.outlines": {"refine.edges"},
    "refine.chains": {"refine.edges", "refine.outlines"},
    "refine.refiner": {
        *("box", "images", "scene_facts"),
        *("refine.chains", "refine.edges", "refine.outlines", "refine.segments"),
    },
    "refine.detector": {"box", "calibration", "finder", "refine.refiner", "scene_facts"},
    "detector": {
        *("box", "calibration", "codec", "finder", "maps", "network", "refine", "scene_facts", "threads"),
        "weights_file",
    },
    "shipped": {"detector"},
    "onnx_graph": {"detector", "network"},
    "onnx_detector": {"finder"},
    "export": {"box", "detector", "files", "finder", "images", "onnx_detector", "onnx_graph", "scenes"},
    "checkpoint": {"files"},
    "journal": {"detector", "files", "images", "losses", "report", "viz"},
    "run": {
        *("calibration", "checkpoint", "codec", "detector", "files", "journal", "losses", "maps", "metrics", "network"),
        *("processes", "symmetry"),
    },
    "replay": {"checkpoint", "codec", "detector", "losses", "maps", "network", "run", "strict_yaml"},
    "training": {"codec", "journal", "losses", "maps", "metrics", "network", "processes", "report", "run"},
    "report_curves": {"box", "calibration", "report"},
    "report_page": {"box", "breakdown", "finder", "images", "report", "report_curves", "viz"},
    "strict_yaml": set(),
    "config": {
        *("codec", "data.augment", "losses", "network", "run", "scene_batches", "scenes", "strict_yaml"),
    },
    "data.corners": {"box"},
    "data.labels": {"box", "data.corners", "files"},
    "data.image_files": {"images"},
    "data.data_config": {"data.labels", "strict_yaml"},
    "data.splits": {"box", "data.data_config", "data.image_files", "data.labels"},
    "data.dataset": {"box", "data.data_config", "data.image_files", "data.splits", "images"},
    "data.check": {"data.data_config", "data.image_files", "data.splits", "images", "viz"},
    "data.augment": {"box", "data.corners"},
    "data.batches": {"box", "data.augment", "images", "maps"},
    "data.predict": {"box", "data.image_files", "finder"},
    "data.answer_files": {"box", "data.image_files", "data.labels", "files", "finder", "viz"},
    "data.learn": {
        *("box", "codec", "config", "data.augment", "data.batches", "data.dataset", "data.image_files", "detector"),
        *("images", "losses", "metrics", "network", "report", "training"),
    },
    "data.commands": {"centerdet", "command", "config", "data", "data.check", "data.learn", "files"},
    "data.detector_commands": {
        *("centerdet", "command", "data.answer_files", "data.commands", "data.dataset", "data.predict", "export"),
        *("files", "finder", "metrics", "report", "report_page"),
    },  # "centerdet": the public names
    "cli": {"centerdet", "command", "data.commands", "data.detector_commands", "export"},
    "__main__": {"cli"},
}
PACKAGE = ROOT / "centerdet"
MODULES = {
    path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", "."): path
    for path in PACKAGE.rglob("*.py")
    if path.stem != "__init__"
}


def imported(path):
    """The modules of ours that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute"
            found |= {node.module} if node.module != "centerdet" else {f"centerdet.{a.name}" for a in node.names}
    return {name.removeprefix("centerdet.") for name in found if name.split(".")[0] == "centerdet"}


def test_the_table_names_every_module():
    assert set(ALLOWED) == set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module):
    assert imported(MODULES[module]) <= ALLOWED[module]


def test_the_table_has_no_cycle():
    remaining = dict(ALLOWED)
    while remaining:
        ready = [module for module, needs in remaining.items() if not needs & set(remaining)]
        assert ready, f"these import each other: {set(remaining)}"
        for module in ready:
            del remaining[module]


SCRIPTS = [*ROOT.glob("*.py"), *(ROOT / "tools").glob("*.py"), *(ROOT / "examples").glob("*.py")]


@pytest.mark.parametrize("path", [*MODULES.values(), *SCRIPTS], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_file_is_read_in_a_way_that_could_execute_it(path):
    wanted = {"torch.load": "weights_only=True", "read_array": "allow_pickle=False", "yaml.load": "_StrictLoader)"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {getattr(node, "module", None), *(alias.name for alias in node.names)}
            assert not names & {"pickle", "marshal", "shelve", "joblib", "dill"}
        elif isinstance(node, ast.Call):
            function, call = ast.unparse(node.func), ast.unparse(node)
            assert function not in ("eval", "exec", "np.load", "numpy.load", "yaml.unsafe_load", "yaml.full_load")
            assert all(argument in call for name, argument in wanted.items() if function.endswith(name))


def test_importing_and_loading_need_no_opencv_and_print_nothing():
    code = """if True:
        import sys, numpy, torch
        state = numpy.random.get_state()[1].copy()
        import centerdet
        centerdet.load()(numpy.zeros((64, 64)))
        assert (numpy.random.get_state()[1] == state).all()
        heavy = {"cv2", "albumentations", "matplotlib.pyplot", "tensorboard", "yaml", "pydantic"} & set(sys.modules)
        assert not heavy, heavy
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_importing_imports_next_to_nothing():
    code = """if True:
        import sys, centerdet, centerdet.cli, centerdet.export
        heavy = {"torch", "onnx", "onnxruntime", "onnxscript", "shapely", "skimage", "scipy", "cv2"} & set(sys.modules)
        assert not heavy, heavy
        assert set(centerdet.__all__) <= set(dir(centerdet))
        from centerdet import *
        assert CenterNet is centerdet.CenterNet and "torch" in sys.modules
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_people_type_checkers_and_python_see_the_same_public_names():
    tree = ast.parse((ROOT / "centerdet" / "__init__.py").read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and "centerdet." in node.module]
    table = {node.module.removeprefix("centerdet."): tuple(alias.name for alias in node.names) for node in imports}
    assert table == centerdet._MODULES
    assert sorted(name for names in table.values() for name in names) == sorted(centerdet.__all__)
    for module, names in table.items():
        for name in names:
            assert getattr(centerdet, name) is getattr(importlib.import_module(f"centerdet.{module}"), name)
    with pytest.raises(AttributeError, match="module 'centerdet' has no attribute 'Detecter'"):
        centerdet.Detecter  # noqa: B018


def test_architecture_txt_is_the_default_network():
    network = centerdet.CenterNet(read_config(ROOT / "configs" / "default.yaml").network)
    text = (ROOT / "architecture.txt").read_text()
    assert text == describe(network)
    assert f"{sum(parameter.numel() for parameter in network.parameters()):,} parameters" in text
