"""The README and the documents are correct: code blocks run, commands parse, links and pictures exist.

A Python block with the line ``# doctest: slow`` runs with ``-m slow`` only.
"""

import argparse
import importlib
import re
import shlex
import shutil
import tomllib
from itertools import pairwise

import pytest
import yaml
from torch.distributed.run import get_args_parser

from centerdet.cli.main import main as centerdet_main
from centerdet.data.config import read_data_config
from tests.helpers import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
README = (ROOT / "README.md").read_text()


def blocks(language, *pages):
    """Every fenced block of a language, on some pages or all, with a name for its test."""
    return [
        pytest.param(
            block,
            id=f"{page.relative_to(ROOT).as_posix()}-{number}",
            marks=[pytest.mark.slow] if "# doctest: slow" in block else [],
        )
        for page in pages or PAGES
        for number, block in enumerate(re.findall(rf"(?ms)^```{language}\n(.*?)^```", page.read_text()))
    ]


@pytest.mark.parametrize("code", blocks("python"))
def test_python_blocks_run(code, tmp_path, monkeypatch, exported):
    monkeypatch.chdir(tmp_path)
    shutil.copy(exported[1], "model.onnx")  # as the command above the block does
    exec(compile(code, "block", "exec"), {})


@pytest.mark.parametrize("text", [block for block in blocks("yaml") if "# data.yaml" in block.values[0]])
def test_data_files_are_read(text, tmp_path):
    path = tmp_path / "data.yaml"
    path.write_text(text)
    assert read_data_config(path).sources()


# Commands. Nothing is run: the real parser of each script gets the arguments, and stops after that.


class Parsed(BaseException):
    """Raised instead of running a command whose arguments are right; no script catches it."""


@pytest.fixture
def parse_only(monkeypatch):
    """Makes ``parse_args`` stop a script after it has parsed its arguments."""
    parse = argparse.ArgumentParser.parse_args

    def stop(parser, *arguments, **options):
        parse(parser, *arguments, **options)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)


INLINE = r"`((?:[A-Z_]+=\S+ )?(?:python|pip|make|torchrun) [^`\n]+)`"


def commands():
    """Every command of the shell blocks, the test block and the text, with the page in the test's name."""
    found = {}
    for page in PAGES:
        text = page.read_text()
        shell = [block.values[0] for block in blocks("bash", page)]
        lines = "\n".join(shell).splitlines() + re.findall(r"^    (python.*)$", text, re.MULTILINE)
        lines += re.findall(INLINE, text)
        for line in lines:
            for command in re.split(r"&&|;", re.split(r"(?:^|\s)#", line)[0]):
                found.setdefault(command.strip(), page)
    found.pop("", None)
    return [pytest.param(command, id=f"{page.relative_to(ROOT)}: {command}") for command, page in found.items()]


@pytest.mark.parametrize("command", commands())
def test_commands_parse(command, parse_only, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    check_command(command)


@pytest.mark.parametrize(
    "command",
    [
        "python main.py --no-such-option",
        "python tools/visualize.py --samples 3",
        "centerdet predict photos/ --overlay pictures/",
        "centerdet no-such-command",
        "make no-such-target",
        "pip install '.[no-such-extra]'",
        "no-such-program",
    ],
)
def test_wrong_commands_do_not_parse(command, parse_only, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((SystemExit, AssertionError)):
        check_command(command)


def check_command(command):
    """Fails unless a command names things that exist, and its script accepts its options."""
    words = [word for word in shlex.split(command, comments=True) if not re.fullmatch(r"[A-Z_]+=\S*", word)]
    program, *arguments = words
    program = program.removeprefix(".venv/bin/")
    if program == "torchrun":
        script = arguments.index("train.py")
        assert not get_args_parser().parse_known_args(arguments[: script + 1])[1]
        program, arguments = "python", arguments[script:]
    if program == "python" and arguments[:1] == ["-P"]:  # Python's own option
        arguments = arguments[1:]
    if program == "python" and arguments[:2] == ["-m", "centerdet"]:
        program, arguments = "centerdet", arguments[2:] or ["check", "data.yaml"]
    if program == "centerdet":
        parses(centerdet_main, arguments)
    elif program == "python" and arguments[0].endswith(".py"):
        assert (ROOT / arguments[0]).exists()
        module = importlib.import_module(arguments[0].removesuffix(".py").replace("/", "."))
        parses(module.main, arguments[1:])
    elif program in ("python", "python3.11"):
        assert arguments[0] == "-m"
        assert arguments[1] in ("http.server", "pytest", "venv")
    elif program == "pip":
        check_pip(arguments)
    elif program == "npm":
        assert (ROOT / arguments[arguments.index("--prefix") + 1] / "package-lock.json").exists()
    elif program == "make":
        assert re.search(rf"^{arguments[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    else:
        assert program in ("cat", "mypy", "mutmut", "pre-commit", "ruff", "tensorboard")


def parses(main, arguments):
    """Runs a script's ``main`` up to the end of its parsing."""
    with pytest.raises(Parsed):
        main(arguments)


def check_pip(arguments):
    """Fails if ``pip install`` names a requirements file or an extra that this project does not have."""
    assert arguments[0] == "install"
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for before, word in pairwise(arguments):
        assert before != "-r" or (ROOT / word).exists()
        assert not word.startswith(".[") or word[2:-1] in extras


# Links, pictures and the promises about the README.


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_and_pictures_exist(page):
    text = page.read_text()
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", text) if "://" not in target]
    for target in targets:
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def anchors(page):
    """The anchors that a page's headings get."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_documents_are_linked_from_the_readme():
    assert all(f"](docs/{page.name})" in README for page in (ROOT / "docs").glob("*.md"))


def test_the_readme_is_short_and_begins_with_the_set_up():
    lines = README.splitlines()
    assert len(lines) <= 150
    assert ".venv/bin/python main.py" in "\n".join(lines[:40])


def test_no_placeholder_is_left():
    assert not [page for page in PAGES if re.search(r"@[A-Z]+@|TODO|FIXME", page.read_text())]


def test_ci_runs_the_test_command_of_the_readme():
    command = README.split("<!-- tests -->")[1].split("<!-- end -->")[0].strip()
    assert command.count("\n") == 0
    assert command.endswith("-m pytest -q -n 2")
    assert "<!-- tests -->" in (ROOT / ".ci" / "run").read_text()
    assert ".ci/run" in (ROOT / ".github" / "workflows" / "ci.yml").read_text()


def test_versions_agree():
    version = importlib.import_module("centerdet").__version__
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert re.search(r"^## \[(.*?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1] == version
    assert f"version-{version}-" in README
