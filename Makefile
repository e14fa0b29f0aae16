# `make` or `make help` lists the targets. Everything is installed into .venv from hash-locked files.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3.11
BIN := .venv/bin
SAM := .venv-sam/bin/sam
PYTEST := $(BIN)/pytest
K6 := $(BIN)/k6
EMULATOR := github.com/aws/aws-lambda-runtime-interface-emulator/cmd/aws-lambda-rie@v0.0.0-20261030222936-bef5c4ba774d
LOCK := --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	--python-version 3.11 --python-platform x86_64-manylinux_2_28 --quiet

# uv reads its own settings; a package index that was set for pip is handed on to it.
define install
	@index=$$($(BIN)/python -m pip config get global.index-url 2>/dev/null || true); \
	if [ -n "$$index" ]; then export UV_DEFAULT_INDEX="$$index"; fi; \
	$(BIN)/uv pip install --python $(1)/bin/python --require-hashes --only-binary :all: \
		--no-binary localstack-client --build-constraint local-stack/installer.txt -r $(2)
endef

# sam and cfn-lint look for a region, and sam would report home.
export AWS_REGION ?= eu-central-1
export AWS_DEFAULT_REGION ?= eu-central-1
export SAM_CLI_TELEMETRY := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# ---- running ----

.PHONY: up
up: .venv/.stack ## Install, start everything, place one bet and follow it into ClickHouse
	@$(BIN)/local-stack up $(if $(KAFKA),--kafka $(KAFKA))
	@$(BIN)/python -m tests.smoke.first_bet

.PHONY: down
down: ## Stop everything; data stays
	@if [ -x $(BIN)/local-stack ]; then $(BIN)/local-stack down; else echo "Nothing is installed, so nothing runs."; fi

.PHONY: clean
clean: down ## Stop everything and remove data, virtual environments and caches
	rm -rf .stack .venv .venv-sam .aws-sam .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: load
load: .venv/.k6 ## Load the running stack with k6: the five calls, then bets alone
	@$(BIN)/local-stack status > /dev/null || { echo "The stack is not ready: make up"; exit 1; }
	$(K6) run k6/script.js --stage 60s:20
	$(K6) run k6/bets.js

.PHONY: bench
bench: ## Run the phases of the performance report (comes with a later change)
	@echo "The lab comes with a later change; make load measures the running stack."

# ---- checking ----

.PHONY: test
test: lint types imports template unit contract conformance-sample integration e2e ## Every check that needs neither Docker, Java nor root

.PHONY: lint
lint: .venv/.test ## Style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: format
format: .venv/.test ## Put the code into its format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: types
types: .venv/.test ## Types, strictly
	$(BIN)/mypy local-stack/local_stack shared functions tests

.PHONY: imports
imports: .venv/.test ## Who may import whom
	@PYTHONPATH=.:local-stack $(BIN)/lint-imports

.PHONY: template
template: .venv-sam/.installed ## Validate, lint and build template.yaml as SAM does
	$(SAM) validate --lint
	@mkdir -p .aws-sam
	PATH="$(CURDIR)/$(BIN):$$PATH" $(SAM) build --cached > .aws-sam/build.log 2>&1 || { tail -30 .aws-sam/build.log; exit 1; }

.PHONY: openapi
openapi: .venv/.test ## Write docs/openapi.json from what the functions say
	$(BIN)/python -m tests.support.openapi

.PHONY: unit
unit: .venv/.test ## Tests without any server
	$(PYTEST) tests/unit

.PHONY: contract
contract: .venv/.test .venv-sam/.installed ## Tests against code that others wrote: awslambdaric, boto3, Powertools, Mangum
	$(PYTEST) tests/contract

.PHONY: conformance
conformance: .venv/.test ## Prove every row of the conformance table, ask the official emulator too (minutes)
	$(BIN)/python -m tests.conformance check --record
	@if command -v go > /dev/null; then \
		GOBIN="$(CURDIR)/.venv/go" GOFLAGS=-mod=mod go install $(EMULATOR) && \
		$(BIN)/python -m tests.conformance.rie .venv/go/aws-lambda-rie --record; \
	else echo "Go is missing: the emulator's column stays as it was recorded"; fi
	$(BIN)/python -m tests.conformance table

.PHONY: conformance-sample
conformance-sample: .venv/.test ## The breaks of a few rows of it, taken at random
	$(BIN)/python -m tests.conformance check --sample 10

.PHONY: integration
integration: .venv/.test ## Tests on real PostgreSQL, Kafka, ClickHouse and Nginx
	$(PYTEST) tests/integration

.PHONY: e2e
e2e: .venv/.test ## Tests of a whole stack, on its own ports and data
	$(PYTEST) tests/e2e

.PHONY: chaos
chaos: .venv/.test ## Every fault under load, some more at random, and the checker seen to object (a quarter of an hour)
	$(PYTEST) tests/chaos
	$(BIN)/python -m tests.chaos --record
	$(BIN)/python -m tests.chaos --runs 10 --record

# ---- dependencies ----

.PHONY: lock
lock: .venv/.installer ## Write the locked, hashed dependencies anew from pyproject.toml
	$(BIN)/uv pip compile $(LOCK) --upgrade --extra layer --extra stack --extra k6 --extra test \
		pyproject.toml -o tests/requirements.txt
	$(BIN)/uv pip compile $(LOCK) -c tests/requirements.txt --extra layer --extra stack \
		pyproject.toml -o local-stack/requirements.txt
	$(BIN)/uv pip compile $(LOCK) -c tests/requirements.txt --extra layer \
		pyproject.toml -o shared/requirements.txt
	$(BIN)/uv pip compile $(LOCK) -c tests/requirements.txt --extra k6 \
		pyproject.toml -o k6/requirements.txt
	$(BIN)/uv pip compile $(LOCK) --upgrade tests/sam/requirements.in -o tests/sam/requirements.txt
	$(BIN)/uv pip compile $(LOCK) --upgrade local-stack/installer.in -o local-stack/installer.txt

.venv/.python:
	@command -v $(PYTHON) > /dev/null || { \
		echo "error: $(PYTHON) is missing: install Python 3.11, or name yours: make up PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
		echo "error: $(PYTHON) is not Python 3.11, which the functions run on: make up PYTHON=/path/to/python3.11"; exit 1; }
	@[ "$$(uname -sm)" = "Linux x86_64" ] || { \
		echo "error: the embedded stores run on Linux x86_64, and this is $$(uname -sm): use a virtual machine"; exit 1; }
	@echo "Making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear .venv || { \
		echo "error: $(PYTHON) cannot make virtual environments: install python3.11-venv"; exit 1; }
	@touch $@

.venv/.installer: local-stack/installer.txt .venv/.python
	$(BIN)/python -m pip install --quiet --require-hashes --only-binary :all: -r local-stack/installer.txt
	@touch $@

.venv/.stack: local-stack/requirements.txt pyproject.toml .venv/.installer
	$(call install,.venv,local-stack/requirements.txt)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-build-isolation --no-deps --editable .
	@touch $@

.venv/.test: tests/requirements.txt .venv/.stack
	$(call install,.venv,tests/requirements.txt)
	@touch $@

.venv/.k6: k6/requirements.txt .venv/.installer
	$(call install,.venv,k6/requirements.txt)
	@touch $@

.venv-sam/.installed: tests/sam/requirements.txt .venv/.installer
	@$(BIN)/python -m venv --without-pip --clear .venv-sam
	$(call install,.venv-sam,tests/sam/requirements.txt)
	@touch $@

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  \033[36m%-12s\033[0m %s\n", $$1, $$2}' Makefile
