"""What the README shows works, word for word."""

import re
import shutil

import pytest

from tests.helpers import ROOT

README = (ROOT / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("index", range(len(SNIPPETS)))
def test_snippets_run(index, tmp_path, monkeypatch, exported):
    monkeypatch.chdir(tmp_path)
    shutil.copy(exported[1], "model.onnx")  # as the command above the snippet does
    exec(compile(SNIPPETS[index], f"README snippet {index}", "exec"), {})


def test_there_are_snippets():
    assert len(SNIPPETS) == 5


def test_links_and_pictures_lead_somewhere():
    targets = re.findall(r"\]\(([^)#][^)]*)\)", README)
    missing = [target for target in targets if "://" not in target and not (ROOT / target).exists()]
    assert not missing


def test_no_placeholder_is_left():
    assert not re.findall(r"@[A-Z]+@", README)


def test_ci_runs_the_readmes_test_command():
    command = README.split("<!-- tests -->")[1].split("<!-- end -->")[0].strip()
    assert command.count("\n") == 0
    assert command.endswith("-m pytest -q")
    assert "<!-- tests -->" in (ROOT / ".ci" / "run").read_text()
