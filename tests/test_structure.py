"""Rooms import one way, importing is cheap and silent, old names are gone, and architecture.txt is current."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib

import pytest

import centerdet
from centerdet.training.config import read_config
from tests.helpers import ROOT
from tools.write_architecture import describe

# Each room, and the rooms that it may import. Every room may import the flat files, which import
# `box` and `files` at most.
ROOMS = {
    "flat files": set(),
    "model": set(),
    "refine": set(),
    "detector": {"model", "refine"},
    "synthetic": {"model"},
    "data": {"model", "detector"},
    "evaluation": {"detector"},
    "training": {"model", "refine", "detector", "synthetic", "data", "evaluation"},
    "export": {"model", "detector", "synthetic"},
    "cli": {"public names", "data", "detector", "evaluation", "export", "training"},
    "public names": {"model", "refine", "detector", "synthetic", "data", "evaluation", "training"},
}
PACKAGE = ROOT / "centerdet"
FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(module):
    """The room of a module such as ``centerdet.model.codec``."""
    first = f"{module}..".split(".")[1]
    if first == "":
        return "public names"
    return "cli" if first == "__main__" else first if (PACKAGE / first).is_dir() else "flat files"


def imported(path):
    """The modules of centerdet that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute"
            found |= {node.module} if node.module != "centerdet" else {f"centerdet.{a.name}" for a in node.names}
    return {name for name in found if name.split(".")[0] == "centerdet"}


def module_of(path):
    """The module of a file, such as ``centerdet.model.codec``."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_every_package_is_installed():
    with (ROOT / "pyproject.toml").open("rb") as file:
        listed = set(tomllib.load(file)["tool"]["setuptools"]["packages"])
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in FILES}
    assert listed == {*folders, "centerdet.web", "centerdet.weights"}  # these two map to folders of the checkout


def test_the_table_names_every_room():
    folders = {path.name for path in PACKAGE.iterdir() if any(path.glob("*.py"))}
    assert set(ROOMS) == {"flat files", "public names"} | folders


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_go_one_way(path):
    room = room_of(module_of(path))
    needed = imported(path)
    if room == "flat files":
        assert needed <= {"centerdet.box", "centerdet.files"}
    assert {room_of(module) for module in needed} - {room, "flat files"} <= ROOMS[room]


def test_rooms_do_not_import_each_other():
    remaining = dict(ROOMS)
    while remaining:
        ready = [room for room, needs in remaining.items() if not needs & set(remaining)]
        assert ready, f"these import each other: {set(remaining)}"
        for room in ready:
            del remaining[room]


@pytest.mark.parametrize("path", sorted((PACKAGE / "refine").glob("*.py")), ids=module_of)
def test_refinement_needs_no_torch(path):
    assert "torch" not in {
        word for line in re.findall(r"^\s*(?:import|from) (.*)$", path.read_text(), re.M) for word in line.split()
    }


# Names of version 0.1 that are replaced, as regular expressions.
OLD_NAMES = [
    r"\b(Finder|SceneFacts|Outcomes|Readout|SceneBatches|Tunable|BreakdownRow)\b",
    r"\b(learn_dataset|official_scenes|scene_batches|side_by_side|read_ahead|box_iou|codec_for|pick_device)\b",
    r"\b(at_noise_level|collect_all|predict_all_unthresholded|parse_measurement|of_first|no_of_first|breakdown)\b",
    r"\b(_Puzzle|_Answer|_attempt|_settle|_left|_glance|_HAZE|_HOPE|_SURE|_FEW)\b",
    r"(?<!page )\bfaults\b|\btold_noise_level\b|(?<!Systems )\bJournal\b",
    r"(?<![\w-])--(breakdown|overlay|samples|count|report)\b(?!-)",
    r"(?<!\w)(Refinement|Report|Scenes|Batches|Source)\(",
    r"\bclass (Refinement|Report|Scenes|Batches|Source)\b",
    r"\.(refined|plain|evidence|learn)\(|\bdef (refined|plain|evidence|learn)\(",
    r"""["']shipped["']|--init shipped""",
    r"\b(widths|reach|until|several|intensity|heading|present|told)(=|: (true|false|null|\[))",
    r"""["'](widths|reach|until|several|intensity|heading|present|told|no_lines)["'][]:]""",
    r"\b(run|self)\.average\b|\bdetector\.report\b",
    r"\bcenterdet\.(images|viz|processes|threads|maps|finder|network|symmetry|shipped|journal|command|breakdown|config)\b",
]
# Phrases that plain English has better ones for.
OLD_PROSE = [
    *(r"\btold\b", r"\bsaid\b", r"\blooked at\b", r"\blooks? again\b", r"\bsecond look\b", r"\bpassed over\b"),
    *(r"\bone's own\b", r"\bwhat is known of\b", r"\bthose that\b", r"\bwhatever\b", r"(?-i:\blaws?\b)"),
]
TEXTS = [
    *FILES,
    *(path for folder in ("tools", "examples") for path in sorted((ROOT / folder).glob("*.py"))),
    *(ROOT / name for name in ("main.py", "train.py", "README.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "configs").glob("*.yaml")),
    *sorted((ROOT / "docs").glob("*.md")),
]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_old_names_and_phrases_are_gone(path):
    text = path.read_text()
    if path.name == "scenes.py":
        text = text.replace("no_lines", "")  # an argument of the official make_data
    found = [match[0] for pattern in OLD_NAMES for match in re.finditer(pattern, text)]
    found += [match[0] for pattern in OLD_PROSE for match in re.finditer(pattern, text, re.IGNORECASE)]
    found += re.findall(r"\bno_lines\b", text)
    assert not found


SCRIPTS = [*ROOT.glob("*.py"), *(ROOT / "tools").glob("*.py"), *(ROOT / "examples").glob("*.py")]


@pytest.mark.parametrize("path", [*FILES, *SCRIPTS], ids=lambda path: path.relative_to(ROOT).as_posix())
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


def test_importing_and_detecting_import_no_more_than_they_need_and_print_nothing():
    code = """if True:
        import sys, numpy
        state = numpy.random.get_state()[1].copy()
        import centerdet, centerdet.cli, centerdet.export
        heavy = {"torch", "onnx", "onnxruntime", "onnxscript", "shapely", "skimage", "scipy", "cv2"} & set(sys.modules)
        assert not heavy, heavy
        assert set(centerdet.__all__) <= set(dir(centerdet))
        centerdet.load()(0.8 * numpy.random.default_rng(0).random((200, 200)))
        assert (numpy.random.get_state()[1] == state).all()
        unused = {"cv2", "albumentations", "matplotlib.pyplot", "tensorboard", "torch._dynamo", "numba"}
        assert not unused & set(sys.modules), unused & set(sys.modules)
        from centerdet import *
        assert CenterNet is centerdet.CenterNet
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
