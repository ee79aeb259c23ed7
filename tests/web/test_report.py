"""The page of ``centerdet evaluate --html-report`` is shown by a real browser."""

import pytest

from centerdet.cli.main import main
from tests.helpers import write_dataset
from tests.web.browser import drive, need_browser, serve

pytestmark = pytest.mark.slow


def test_the_report_is_shown_without_errors(tmp_path):
    need_browser()
    data = write_dataset(tmp_path, "csv", split="test")
    command = ["evaluate", str(data), "--weights", "fast", "--html-report", str(tmp_path / "report.html")]
    assert main(command) == 0
    with serve(tmp_path) as address:
        shown = drive("drive_report.mjs", f"{address}report.html", tmp_path)
    assert shown["complaints"] == []  # console errors, failed requests, other hosts
    assert shown["tooWide"] == []
    assert shown["title"].startswith("centerdet: ")
    assert [*shown["headings"]][1:] == ["Curves", "Error analysis", "Worst", "Median", "Best"]
    assert shown["curves"] == 4
    assert shown["rows"] >= 5
    assert shown["pictures"] > 0
    assert shown["broken"] == 0
