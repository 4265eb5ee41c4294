# One command for everything. The checks are the steps of .ci/run, so that there is one place that spells them.

PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup test test-fast lint types imports presets format docs schema demo benchmarks site faults fuzz matrix wheel-check check clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make .venv with everything that development needs
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -e '.[dev]'
	$(BIN)/pre-commit install

test: ## run all tests
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-fast: ## run the tests that take no package builds and no full-size models
	$(BIN)/python -m pytest -m 'not slow and not sweep'

lint: ## ruff: rules and formatting
	.ci/run lint

types: ## mypy
	.ci/run types

imports: ## import-linter: who may import whom
	.ci/run imports

presets: ## validate every preset
	.ci/run presets

format: ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: schema ## regenerate docs/reference
	$(BIN)/python docs/generate.py

schema: ## regenerate the JSON Schema of presets
	$(BIN)/python -m registry.catalog.schema

demo: ## preset → .tflite → a segmented photograph, in ./atrous-demo
	$(BIN)/atrous demo

benchmarks: ## compare with other libraries, in environments of their own; report in build/benchmarks
	$(BIN)/python -m tests.benchmarks $(ARGS)

site: ## the documentation as a site, in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

faults: ## the whole campaign against faults, counted: the table of docs/reliability.md
	$(BIN)/python tests/reliability/campaign.py

FUZZ_SECONDS ?= 3600
fuzz: ## fuzz every parser of untrusted bytes for an hour; FUZZ_CORPUS=folder keeps what it finds
	$(BIN)/python tests/reliability/fuzz.py $(FUZZ_SECONDS)

matrix: ## carry a model all the way at every edge of the supported versions
	.ci/matrix 3.11 3.12 3.13

wheel-check: ## sdist → wheel → clean environment, away from the repository
	.ci/run wheel

check: ## everything that CI checks
	.ci/run

clean: ## remove what the commands above leave behind, .venv excepted
	rm -rf build dist atrous-demo .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
