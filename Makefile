# Everything from a fresh checkout: `make demo` and `make test` set up .venv themselves.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# pip would compile all that it installs, one file after the other; most of it is never loaded.
PIP := $(BIN)/python -m pip install --disable-pip-version-check --no-compile

.PHONY: demo test quick lint clean

# The main job with every default: search for this machine on the embedded scenes.
demo: $(VENV)/.installed
	$(BIN)/hwnas search

# A file of tests at a time on each of two cores, because the fixtures of a file are shared; tests/conftest.py
# says which files come first.
test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# Before a commit, in about two minutes.
quick: lint
	$(BIN)/python -m pytest -m "not slow"

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# A stamp newer than pyproject.toml means that nothing has to be installed.
$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(PIP) -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(PIP) -e ".[dev]"
	@touch $@ $(VENV)/.installed

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "hwnas needs Python 3.11 or newer, $(PYTHON) is older; try: make PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "making $(VENV) failed; on Debian: apt-get install python3-venv" >&2; exit 2; }

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
