# What people and CI run. Everything sets itself up: `make help` lists the commands.
.DEFAULT_GOAL := help
.PHONY: help setup demo up test unit nightly coverage check format bench bench-proxy compile wheel wheelhouse images chaos chaos-net updates fuzz lock contracts refusals console console-check console-dev console-shots clean
BIN := .venv/bin
PYTHON3 = $(or $(wildcard $(BIN)/python),python3)
unexport PYTHONDONTWRITEBYTECODE # else each worker and each service compiles all anew, and each worker rewrites the assertions
PARALLEL := -n auto --dist loadgroup --no-loadscope-reorder

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

setup:  ## Make .venv with the locked packages (the others do it by themselves)
	@scripts/setup

demo: setup  ## Start everything, serve a real embedding model, call it; Ctrl-C stops it all
	@$(BIN)/python -m headrace.cli.demo

up: setup  ## Start the embedded stack and the four services (the same as `.venv/bin/headrace up`)
	@$(BIN)/headrace up

test: setup  ## Run the whole test suite in parallel (ARGS='-k name' or paths for some of it, ARGS=-n0 for one process)
	@$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

unit: setup  ## Run the unit tests, with a quarter of the random examples: no server, no network
	@$(BIN)/python -m pytest $(PARALLEL) --hypothesis-profile=quick tests/unit $(ARGS)

nightly: setup  ## What is too long for each change: all random examples, coverage, more fuzzing, ten minutes of faults under load, disturbed links (root)
	@scripts/coverage --hypothesis-profile=nightly $(ARGS)
	@fuzz/run.sh short
	@$(BIN)/python -m tests.chaos
	@$(BIN)/python -m tests.chaos.network

coverage: setup  ## Fail below the coverage that CONTRIBUTING.md names, by unit and integration tests (ARGS=paths: print it for some)
	@scripts/coverage $(ARGS)

check: setup  ## Lint, types, layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@[ -n "$(CI)" ] || $(BIN)/python scripts/console.py check --if-installed # CI has make console-check, beside this one

format: setup  ## Format and fix what can be fixed
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: setup  ## Run the benchmarks (ARGS=plans: one); every case is judged, results are also written to build/
	@$(BIN)/python -m benchmarks $(ARGS)

compile: setup  ## Make build/compiled: Headrace as its wheel installs it, the data plane compiled (needs a C compiler; HEADRACE_COMPILE=profiled: build/profiled, as released)
	@scripts/compile

wheel: setup  ## Make dist/headrace-*.whl (HEADRACE_COMPILE=profiled: as released), and serve a model with it on each Python here
	@mkdir -p build
	@scripts/wheel
	@scripts/try_wheel $(PYTHONS)

wheelhouse: setup  ## Make a folder of wheels, from which machines that join install Headrace (DIR=folder; PYTHON=python3.12)
	@PYTHON=$(or $(PYTHON),$(BIN)/python) scripts/wheelhouse $(DIR)

images:  ## Build the container images headrace-<target>:<version>, each with SBOM and licence list in build/images (TARGETS='manager agent')
	@scripts/images $(TARGETS)

bench-proxy: setup  ## Measure the app-proxy beside others in one run, into build/bench-proxy.json (ARGS=--quick: does all run?)
	@$(BIN)/python -m benchmarks.proxy $(ARGS)

chaos: setup  ## Ten minutes of faults under load, every request accounted for (ARGS='--seed 7 --minutes 60')
	@$(BIN)/python -m tests.chaos $(ARGS)

chaos-net: setup  ## Thirty rounds of cut, lossy and slow links between hosts, every request accounted for (needs root; ROUNDS=30 SEED=7, ROUND=17: that one alone)
	@$(BIN)/python -m tests.chaos.network $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SEED),--seed $(SEED)) $(if $(ROUND),--round $(ROUND)) $(ARGS)

updates: setup  ## A hundred updates in a row under load with long streams, every request accounted for (ARGS='--updates 20 --streams 8')
	@$(BIN)/python -m tests.chaos.updates $(ARGS)

fuzz: setup  ## Fuzz the framing, two processes, 5 million inputs each (FUZZ_RUNS=…; ARGS=short: CI's seeded run)
	@fuzz/run.sh $(or $(ARGS),long)

console:  ## Build the web console into build/console, where managers of this checkout find it (nothing if it is current)
	@$(PYTHON3) scripts/console.py build

console-check:  ## Lint, types and tests of the web console; installs its packages once
	@$(PYTHON3) scripts/console.py check

console-dev:  ## Serve the web console's sources with hot reload, on a running manager (MANAGER=http://127.0.0.1:8080)
	@MANAGER="$(MANAGER)" $(PYTHON3) scripts/console.py dev

console-shots: setup  ## Take the pictures in docs/console anew, from the embedded stack with simulated GPUs, in Chromium
	@$(BIN)/python -m tests.console_shots

contracts: setup  ## Write the contract snapshots and the generated docs (contracts, settings, reasons) anew
	@$(BIN)/python -m tests.contracts.update

refusals: setup  ## Write docs/refusals.md anew from what the API answers
	@HEADRACE_WRITE_REFUSALS=1 $(BIN)/python -m pytest -q tests/integration/manager/test_refusals.py

lock: setup  ## Resolve the locked packages anew
	@$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --all-extras --no-emit-index-url --no-header pyproject.toml -o requirements.lock

clean:  ## Remove build results and caches (not .headrace, where data lives)
	@rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
