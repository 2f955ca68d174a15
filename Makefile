# The few things a person types. `make` alone lists them.

VENV ?= .venv
BIN := $(VENV)/bin
TOOLS := .tools/bin
ARGS ?=
SECONDS ?= 600
SEED ?= 1

# The first Python that is new enough; set PYTHON to choose another.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& command -v $$python && break; done)

# An S3 server for the tests of the S3 store. Go checks it against its public log of hashes.
VERSITYGW := github.com/versity/versitygw/cmd/versitygw@v1.8.0
GO ?= $(shell command -v go || { test -x /usr/local/go/bin/go && echo /usr/local/go/bin/go; })

PYTEST := $(BIN)/python -m pytest
COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-header \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options \
	--annotation-style=line
STACK := --extra worker --extra orchestrator --extra cli

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help up demo test test-system fuzz simulate simulate-hour chaos bench bench-all bench-peers bench-check bench-checkpoint check format lock wheel tools clean

help: ## List these targets.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null \
	|| sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST)

up: $(VENV)/.demo ## Run the stack here, in the foreground, until Ctrl-C.
	$(BIN)/relaymd up $(ARGS)

demo: $(VENV)/.demo ## A real simulation through three workers, two of them hurt. ARGS=--keep
	$(BIN)/python -m examples.demo $(ARGS)

test: $(VENV)/.dev ## The tests, without those that start whole stacks.
	$(PYTEST) -m "not system" -n 3 -q $(ARGS)

test-system: $(VENV)/.engines ## The tests that start whole stacks, and hurt them.
	PATH="$(CURDIR)/$(TOOLS):$$PATH" $(PYTEST) -m system -q $(ARGS)

bench: $(VENV)/.dev ## Our figures beside bare probes, quickly. ARGS="control start"
	$(BIN)/python -m benchmarks --quick $(ARGS)

bench-all: $(VENV)/.dev ## All of them at length, and beside other schedulers.
	$(BIN)/python -m benchmarks $(ARGS)

bench-peers: $(VENV)/.python ## Other schedulers, for bench-all, in an environment of their own.
	$(PYTHON) -m venv .tools/peers
	.tools/peers/bin/python -m pip install --quiet hyperqueue 'dask[distributed]' parsl

bench-check: $(VENV)/.dev ## Fails where a ratio is 30 % worse than benchmarks/baseline.json.
	$(BIN)/python -m benchmarks --quick --check $(ARGS)

SIZE ?= 2048
bench-checkpoint: $(VENV)/.dev ## Checkpoints beside rclone, the AWS CLI, restic. SIZE=2048 (MiB)
	$(BIN)/python -m benchmarks.bench_checkpoint --size $(SIZE) $(ARGS)

chaos: $(VENV)/.dev ## Everything fails at random while jobs run. SECONDS=600 SEED=1 ONLY=kill_worker
	PATH="$(CURDIR)/$(TOOLS):$$PATH" RELAYMD_CHAOS_SECONDS=$(SECONDS) RELAYMD_CHAOS_SEED=$(SEED) \
		RELAYMD_CHAOS_ONLY="$(ONLY)" \
		$(PYTEST) -m system -q $(ARGS) tests/system/chaos

CASES ?= 100000
fuzz: $(VENV)/.dev ## Hostile bytes at everything that reads. CASES=100000 SEED=1
	RELAYMD_FUZZ_CASES=$(CASES) RELAYMD_FUZZ_SEED=$(SEED) $(PYTEST) -m hostile -n 3 -q $(ARGS)

N ?= 1000
simulate: $(VENV)/.dev ## Schedules of simulated disasters. N=10000
	$(BIN)/python -m tests.simulation --count $(N) $(ARGS)

simulate-hour: $(VENV)/.dev ## As many as fit into an hour, each night others.
	$(BIN)/python -m tests.simulation --seconds 3600 --seed $$(date +%y%j0000000) $(ARGS)

check: $(VENV)/.dev ## Format, lint, types (twice), layers.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

format: $(VENV)/.dev ## Put the code into its form.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only .

lock: $(VENV)/.dev ## Resolve the requirements anew. ARGS=--upgrade takes the newest.
	$(COMPILE) $(ARGS) $(STACK) --extra demo --extra dev -o requirements/dev.txt pyproject.toml
	$(COMPILE) -c requirements/dev.txt --extra worker -o requirements/worker.txt pyproject.toml
	$(COMPILE) -c requirements/dev.txt $(STACK) -o requirements/stack.txt pyproject.toml
	$(COMPILE) -c requirements/dev.txt --extra engines -o requirements/engines.txt pyproject.toml
	$(COMPILE) -c requirements/dev.txt --build-deps-for editable $(STACK) --extra demo \
		-o requirements/demo.txt pyproject.toml

wheel: $(VENV)/.dev ## Build dist/relaymd-*.whl.
	rm -f dist/*.whl
	$(BIN)/python -m build --wheel --no-isolation --outdir dist .

tools: $(TOOLS)/versitygw ## Build the S3 server that tests/storage uses. Needs Go.

clean: ## Remove everything that was built or installed here.
	rm -rf $(VENV) .tools build dist demo-output .relaymd-demo
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.python:
	@test -n "$(PYTHON)" || { echo "RelayMD needs Python 3.11 or newer; none was found. \
	Set PYTHON=/path/to/python3." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual \
	environments; on Debian: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# What is locked comes with hashes; RelayMD itself comes from this folder. What developers have
# is more than what the demo needs, so that one environment can hold both.
$(VENV)/.demo: $(VENV)/.python requirements/demo.txt pyproject.toml
	@test -e $(VENV)/.dev || $(MAKE) --no-print-directory install LOCK=demo
	@touch $@

$(VENV)/.dev: $(VENV)/.python requirements/dev.txt pyproject.toml
	@$(MAKE) --no-print-directory install LOCK=dev
	@touch $@

# Engines of others, which only the tests of whole stacks run.
$(VENV)/.engines: $(VENV)/.dev requirements/engines.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--require-hashes -r requirements/engines.txt
	@touch $@

.PHONY: install
install: $(VENV)/.python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--require-hashes -r requirements/$(LOCK).txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--no-deps --no-build-isolation -e .

$(TOOLS)/versitygw:
	@test -n "$(GO)" || { echo "make tools needs Go 1.24 or newer" >&2; exit 1; }
	GOBIN="$(CURDIR)/$(TOOLS)" "$(GO)" install $(VERSITYGW)
