# `make` alone lists the targets. Every target that needs the environment makes it first, once.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# A command of the environment sees its own `python` first, as after `source .venv/bin/activate`.
ACTIVE := PATH="$(CURDIR)/$(BIN):$$PATH" VIRTUAL_ENV="$(CURDIR)/$(VENV)"
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help run test test-all faults check format lock clean debian

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 16

run: $(READY) ## turn text into a published model: the main job
	@$(ACTIVE) abcd run

test: $(READY) debian ## run the tests, but for those that take long; installs Debian packages they need
	@$(ACTIVE) pytest -n auto --dist loadfile --no-loadscope-reorder --durations 15 -m 'not long'

test-all: test ## run all tests
	@$(ACTIVE) pytest -n auto --dist loadfile --no-loadscope-reorder --durations 15 -m long

faults: $(READY) ## inject all faults of the campaign and see that nothing is lost; SEED=N for other ones
	@$(ACTIVE) python -m tests.faults --seed $(or $(SEED),1)

check: $(READY) ## lint, format, types, import direction, coverage of the unit tests
	@$(ACTIVE) ruff check .
	@$(ACTIVE) ruff format --check .
	@$(ACTIVE) mypy
	@$(ACTIVE) lint-imports
	@$(ACTIVE) pytest -n auto -q -m 'not thread' --cov --cov-report= --cov-fail-under=78

format: $(READY) ## format the code and fix what ruff can fix
	@$(ACTIVE) ruff check --fix .
	@$(ACTIVE) ruff format .

lock: ## refresh requirements.lock from pyproject.toml
	rm -rf .lock-venv && $(PYTHON) -m venv .lock-venv
	.lock-venv/bin/pip install --quiet "torch==2.13.0"
	.lock-venv/bin/pip install --quiet -e '.[big-data,formats,compute,distribution,s3,sql,dev]'
	@{ grep '^#' requirements.lock; .lock-venv/bin/pip freeze --all --exclude-editable | sed -E 's/^(torch==[0-9.]+)\+cpu/\1/' | grep -vE '^(pip=|wheel=|nvidia|triton|cuda)'; } > .requirements.new
	mv .requirements.new requirements.lock && rm -rf .lock-venv

clean: ## remove the environment, outputs and caches; keeps .abcd (registry, keys) and runs
	rm -rf $(VENV) artifacts .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage*

# A browser and a database: what tests need of the machine and pip cannot install.
debian:
	@tests/debian-packages.sh

# One environment for all targets, made anew when what it is made from changes. It takes its name when complete.
$(READY): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found: install Python 3.11 or later, or type make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (about two minutes, once)"
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
