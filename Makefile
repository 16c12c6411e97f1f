# Everything a newcomer needs: `make demo` runs the chat system, `make test` checks the project.
# `uv` is used when it is installed; without it plain venv and pip install the same locked set.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
UV     := $(shell command -v uv 2>/dev/null)
INSTALL := $(if $(UV),uv pip install --quiet --python $(BIN)/python,$(BIN)/python -m pip install --quiet --disable-pip-version-check)

.DEFAULT_GOAL := help
.PHONY: help install demo serve test lint format servers lock bench soak clean compiled

help:  ## what each target does
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	$(if $(UV),uv venv --quiet --python $(PYTHON) $(VENV),$(PYTHON) -m venv $(VENV))

$(VENV)/.run: requirements/run.txt requirements/build.txt pyproject.toml | $(BIN)/python
	$(INSTALL) --require-hashes -r requirements/run.txt
	$(INSTALL) --require-hashes -r requirements/build.txt
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.run
	$(INSTALL) --require-hashes -r requirements/dev.txt
	@touch $@

install: $(VENV)/.dev  ## a .venv with the locked dependencies

demo: $(VENV)/.run  ## the whole chat system in one command; Ctrl-C stops it
	$(BIN)/python -m gateway demo

serve: $(VENV)/.run  ## the gateway; CONFIG=file.yaml for your own settings
	$(BIN)/python -m gateway serve $(if $(CONFIG),--config $(CONFIG))

servers:  ## find or fetch the real Redis and Consul that tests start
	@sh scripts/servers.sh

lint: $(VENV)/.dev  ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# mypy needs one core and the servers the network, so they go at once. Files side by side: most of a test's time
# is waiting for real processes. Hundreds of them start, and each worker reads all tests: what they compile is
# kept, and compiled beforehand.
test: export PYTHONDONTWRITEBYTECODE =
test: $(VENV)/.dev  ## the one command: lint, then every test, warnings as errors
	@$(MAKE) --no-print-directory -j3 lint servers compiled
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

compiled: $(VENV)/.dev
	@said=$$($(BIN)/python -m pytest --collect-only --quiet 2>&1) || { echo "$$said"; exit 1; }

format: $(VENV)/.dev  ## put the code in its one form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header

lock:  ## compile requirements/ anew from pyproject.toml (needs uv)
	$(LOCK) pyproject.toml -o requirements/run.txt
	$(LOCK) pyproject.toml --extra otel -o requirements/otel.txt
	$(LOCK) pyproject.toml --group dev -o requirements/dev.txt
	$(LOCK) --group build -o requirements/build.txt

bench: $(VENV)/.dev servers  ## measurements beside real peers (they are no tests), about 12 minutes
	@PYTHON=$(PYTHON) sh scripts/peers.sh
	$(BIN)/python -m bench $(BENCH)

SECONDS ?= 1800

soak: $(VENV)/.dev servers  ## random faults on real processes, and nothing leaks; SECONDS=1800
	$(BIN)/python -m tests.faults.soak $(SECONDS)

clean:  ## remove what make made
	rm -rf $(VENV) .servers .mypy_cache .ruff_cache .pytest_cache .hypothesis .demo
