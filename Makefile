# Needs Python >= 3.11 and make, nothing else: each target makes .venv and installs into it what it lacks.
# Another interpreter: make PYTHON=python3.12 test

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
JOBS   ?= 2

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help install forecast test lint format accuracy benchmark docs clean

help:  ## this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

install: $(VENV)/.installed-test  ## the library and its test tools, into .venv

forecast: $(VENV)/.installed-core  ## the demo: what breaks first in a web shop that grows 15 % a month
	$(BIN)/scalesim forecast models/web_shop.yaml \
	    --traffic models/traffic/epa_1995_08_30.yaml --scale 150 \
	    --growth 15%/month --months 24 --picture forecast.png

test: lint  ## all that CI runs: lint, types, import contracts, tests
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(PYTEST_ARGS)

lint: $(VENV)/.installed-test  ## ruff, mypy, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.installed-test  ## rewrite the sources as `make lint` wants them
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

accuracy: $(VENV)/.installed-test  ## every case with a known right answer, precisely; writes the page
	$(BIN)/python tests/accuracy/run.py --budget 7.5 --scale 0.25 --unsupported-ok \
	    --page docs/reference/accuracy.md
	$(BIN)/python tests/accuracy/realstack/report.py

benchmark: $(VENV)/.installed-test  ## the compiled engine beside C, SimPy and others, in one table
	$(BIN)/python tests/benchmarks/run.py

docs: $(VENV)/.installed-docs  ## docs/_build/html, warnings are errors
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

clean:  ## remove all that make has made, .venv too
	rm -rf $(VENV) build dist docs/_build docs/jupyter_execute forecast.png
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find scalesim tests examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# One stamp for each set of packages, so that pip runs again only when pyproject.toml has changed.

$(VENV)/.installed-core: pyproject.toml $(VENV)/.created
	@echo "installing scalesim into $(VENV) (numba, scipy and matplotlib are large: about half a minute)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-%: pyproject.toml $(VENV)/.created
	@echo "installing scalesim[$*] into $(VENV) (numba, scipy and matplotlib are large: about a minute)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@ $(VENV)/.installed-core

.PRECIOUS: $(VENV)/.installed-%

$(VENV)/.created:
	@command -v "$(PYTHON)" >/dev/null || { \
	    echo "scalesim needs Python 3.11 or newer, and there is no '$(PYTHON)' here."; \
	    echo "Install one, or name yours: make PYTHON=/path/to/python3.12"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "scalesim needs Python 3.11 or newer; '$(PYTHON)' is $$("$(PYTHON)" --version 2>&1)."; \
	    echo "Name a newer one: make PYTHON=python3.12"; exit 1; }
	@"$(PYTHON)" -m venv --clear $(VENV) || { \
	    echo "'$(PYTHON) -m venv' failed (on Debian and Ubuntu: apt-get install python3-venv)."; exit 1; }
	@touch $@
