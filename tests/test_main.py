"""``main.py``; tests/tools/test_scripts.py has its other tests."""

import main


def test_the_html_report_analyses_the_errors(tmp_path):
    page = tmp_path / "report.html"
    assert main.main(["--num-samples", "12", "--html-report", str(page)]) == 0
    assert "crossed by" in page.read_text()
