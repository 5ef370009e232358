# Two commands do all the set-up: `make demo` and `make test`. Each makes .venv if it is not there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: demo board test test-slow lint format dist clean help

help:  ## Say what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[harness,dev]'
	@touch $@

demo: $(READY)  ## Build Pong, evaluate examples/my_encoder.py, sign the result and verify it
	PATH="$(CURDIR)/$(BIN):$$PATH" sh examples/demo.sh

board: $(READY)  ## Make a leaderboard of the results in docs/results, and its site: build/board/site/index.html
	rm -rf build/board
	$(BIN)/harness leaderboard init build/board --maintainer atariari --results docs/results
	$(BIN)/harness leaderboard build build/board

test: $(READY)  ## Run the tests
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-slow: $(READY)  ## Run the tests that take minutes, too
	$(BIN)/python -m pytest --slow $(PYTEST_ARGS)

lint: $(READY)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## Let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

dist: $(READY)  ## Build the wheel
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:  ## Remove the environment and what was built
	rm -rf $(VENV) build dist
