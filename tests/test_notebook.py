"""The notebook in examples/ runs, and is committed with the outputs of a whole run."""

import json

import pytest

from tests.helpers import ROOT

NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"
MAX_BYTES = 300_000  # with its pictures


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def kinds(cells):
    """Of the outputs of each cell: their MIME types, or whether text was printed."""
    return [[sorted(output.get("data", [output["output_type"]])) for output in cell["outputs"]] for cell in cells]


def test_the_committed_outputs_are_those_of_one_run():
    text = NOTEBOOK.read_text()
    assert len(text) < MAX_BYTES
    cells = code_cells(json.loads(text))
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    found = [kind for cell in kinds(cells) for output in cell for kind in output]
    assert {"image/png", "text/html", "text/plain"} <= set(found)
    assert "error" not in found


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of the packages that run notebooks
def test_the_notebook_runs(monkeypatch):
    try:
        import ipykernel  # noqa: F401
        import nbformat
        from nbclient import NotebookClient
    except ImportError as error:
        pytest.fail(f"notebooks need more packages ({error}): pip install '.[notebook]'")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    committed = kinds(code_cells(notebook))
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": NOTEBOOK.parent}}).execute()
    without_progress = [
        [[kind for kind in cell if kind != ["stream"]] for cell in run]
        for run in (committed, kinds(code_cells(notebook)))
    ]
    assert without_progress[0] == without_progress[1]
    printed = "".join(code_cells(notebook)[-1]["outputs"][0]["text"])
    for line, yaw in zip(printed.splitlines(), (20, 110, -160, -70), strict=False):
        assert float(line.split()[1]) == pytest.approx(yaw, abs=5)
    assert printed.splitlines()[-1] == "empty.png None"
