# `make run` starts mlopsdoc, `make test` tests it; both set up .venv first. `make` alone runs everything.
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := all
.PHONY: all run test lint fmt types contracts docs accept bench soak wheel clean help

all: docs lint types contracts test  ## generated pages, format and lint, types, import contracts, tests

run: .venv/.runtime  ## start mlopsdoc: the screen on a terminal, a report elsewhere
	@$(BIN)/mlopsdoc

test: .venv/.dev  ## all tests
	$(BIN)/pytest -n auto

lint: .venv/.dev  ## ruff, and the runbooks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mlopsdoc runbook lint runbooks

types: .venv/.dev  ## mypy and pyright, both strict, at the oldest Python
	$(BIN)/mypy
	$(BIN)/pyright

contracts: .venv/.dev  ## who may import whom
	$(BIN)/lint-imports

fmt: .venv/.dev  ## format, and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: .venv/.dev  ## write the generated pages anew
	$(BIN)/python -m tests.generated --write

accept: docs  ## renew generated pages and goldens
	MLOPSDOC_ACCEPT=1 $(BIN)/pytest -n auto -q

bench: .venv/.dev  ## the table of budgets, as ratios measured in one run
	$(BIN)/python -m tests.bench

soak: .venv/.dev  ## what takes long
	MLOPSDOC_SOAK=1 $(BIN)/pytest -n auto

wheel: .venv/.dev  ## build the wheel
	$(BIN)/python -m pip wheel -q --no-deps -w dist .

clean:  ## remove what was built
	rm -rf .venv build dist *.egg-info

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.venv/.runtime: pyproject.toml .ci/venv
	@PYTHON=$(PYTHON) .ci/venv -e .
	@touch $@

.venv/.dev: pyproject.toml .ci/venv
	@PYTHON=$(PYTHON) .ci/venv --group dev -e .
	@touch $@ .venv/.runtime
