# Every command a person needs. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help install quickstart ui test slow gpu floors lint docs format hooks review wheel bench clean

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
TEST   := $(VENV)/.installed-test

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name it with make PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(TEST): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,lint]'
	@touch $@

install: $(STAMP)  ## Make .venv and install the tested environment

quickstart: $(STAMP)  ## Train 128 networks on four real data sets and draw the results
	$(BIN)/python sweep/run.py +experiment=quickstart
	$(BIN)/python analysis/make_tables.py experiment=quickstart
	@echo
	@echo "Browse every run: make ui   (MLflow on http://127.0.0.1:5000, this machine only)"

ui: $(STAMP)  ## Serve MLflow's pages on the results (localhost only) and print their addresses
	$(BIN)/robust-sweep ui

test: $(TEST)  ## Run the whole test suite (slow and gpu ones apart)
	$(BIN)/python -m pytest -q

slow: $(TEST)  ## Run the tests that take minutes
	$(BIN)/python -m pytest -q -m slow

gpu: $(TEST)  ## Run the tests that need a CUDA device
	@$(BIN)/python -c 'import torch; exit(not torch.cuda.is_available())' \
		|| { echo "PyTorch finds no CUDA device on this machine" >&2; exit 1; }
	$(BIN)/python -m pytest -q -m gpu

floors:  ## Run the test suite with the oldest versions that pyproject.toml allows
	$(PYTHON) -m venv .venv-floors
	.venv-floors/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv-floors/bin/uv pip install --quiet --python .venv-floors --torch-backend cpu \
		--resolution lowest-direct -e '.[test]'
	.venv-floors/bin/python -m pytest -q

lint: $(TEST)  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(STAMP)  ## Build the docs site into docs/_build (warnings are errors)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build
	@echo "docs/_build/index.html"

format: $(TEST)  ## Rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

hooks: $(TEST)  ## Check every commit before it is made (pre-commit)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pre-commit
	$(BIN)/pre-commit install

review:  ## Check the repository's habits (repo-review)
	$(PYTHON) -m venv .venv-review
	.venv-review/bin/python -m pip install --quiet --disable-pip-version-check 'repo-review[cli]' sp-repo-review
	.venv-review/bin/repo-review .

wheel: $(TEST)  ## Build the wheel into dist/
	rm -rf build
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation -w dist .

bench: $(STAMP)  ## Measure steps per second of every defense and of evaluation
	$(BIN)/python -m benchmarks.throughput
	$(BIN)/python -m benchmarks.evaluation

clean:  ## Remove the environment and caches (results stay)
	rm -rf $(VENV) .venv-floors .venv-review build dist docs/_build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
