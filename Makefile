# `make demo` and `make test` do all the set-up: they create .venv if it does not exist.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: demo board docs test test-slow lint format dist clean help

help:  ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[harness,dev]'
	@touch $@

demo: $(READY)  ## Build Pong, evaluate examples/my_encoder.py, sign the result and verify it
	PATH="$(CURDIR)/$(BIN):$$PATH" sh examples/demo.sh

board: $(READY)  ## Make a leaderboard of docs/results and its site, build/board/site/index.html
	rm -rf build/board
	$(BIN)/harness leaderboard init build/board --maintainer atariari --results docs/results
	$(BIN)/harness leaderboard build build/board

docs: $(READY)  ## Build the documentation site, build/docs/index.html; any warning is an error
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[harness,docs]'
	rm -rf build/docs
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --fresh-env docs build/docs

test: $(READY)  ## Run the tests
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-slow: $(READY)  ## Run all tests, including those that take minutes
	$(BIN)/python -m pytest --slow $(PYTEST_ARGS)

lint: $(READY)  ## Run ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## Fix and format the code with ruff
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The same bytes from the same commit: files are dated by it, and the build tools are those of constraints.txt.
dist: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 1577836800)
dist: $(READY)  ## Build the wheel and the source distribution, the same bytes every time, and check them
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dist,harness]'
	rm -rf dist
	$(BIN)/python -m hatchling build --directory dist
	$(BIN)/python -m twine check --strict dist/*

clean:  ## Remove the environment and all build outputs
	rm -rf $(VENV) build dist
