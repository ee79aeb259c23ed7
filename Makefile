# make setup, then make test. Every target uses the interpreter of .venv.
PYTHON := .venv/bin/python
.PHONY: help setup test test-slow test-web coverage lint format docs figures ci

help:
	@echo "setup     create .venv with everything the tests need"
	@echo "test      run the default tests"
	@echo "test-slow run the tests that take minutes"
	@echo "test-web  run the tests in a browser; needs Node.js and Chromium"
	@echo "coverage  count the lines that the tests run; needs pytest-cov"
	@echo "lint      ruff check, ruff format --check and mypy"
	@echo "format    format the code"
	@echo "docs      run the code blocks and parse the commands of README.md and docs/"
	@echo "figures   draw the pictures in docs/ and write architecture.txt"
	@echo "ci        what the continuous integration runs"

setup:
	python3.11 -m venv .venv
	$(PYTHON) -m pip install -q -r requirements-test.txt

test:
	$(PYTHON) -m pytest -q -n 2

test-slow:
	$(PYTHON) -m pytest -q -m slow

test-web:
	npm ci --prefix web
	$(PYTHON) -m pytest -q -m slow tests/web

coverage:
	$(PYTHON) -m pytest -q -n 2 --cov --cov-report=
	NUMBA_DISABLE_JIT=1 $(PYTHON) -m pytest -q -n0 --cov --cov-append --cov-report=term \
		tests/refine --ignore tests/refine/test_search.py

lint:
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

format:
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

docs:
	$(PYTHON) -m pytest -q tests/test_docs.py

figures:
	$(PYTHON) tools/draw_figures.py --overwrite
	$(PYTHON) tools/write_architecture.py --overwrite

ci:
	.ci/run
