# Two commands for a newcomer: `make demo` and `make test`. Everything they need is set up here.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check -q install -c constraints.txt
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help bench bench-smoke bench-page demo test test-matrix soak faults-table check format lint types architecture tour clean

help: ## Say what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: $(VENV)/.demo ## Try it: a Slack-like workspace, a PostgreSQL and the bot, on this machine
	@$(BIN)/jit demo $(if $(TOUR),--tour) $(ARGS)

test: $(VENV)/.dev ## Run every test
	@$(BIN)/pytest $(ARGS)

test-matrix: $(VENV)/.dev ## Run what acts on PostgreSQL on 15, 16, 17 and 18, one after the other
	@$(BIN)/python tests/matrix.py $(ARGS)

soak: $(VENV)/.dev ## Grant and end hundreds of times while the bot is killed; ARGS="--help" tells the numbers
	@$(BIN)/python -m tests.soak $(ARGS)

faults-table: $(VENV)/.dev ## Write docs/faults.md from the tests' own markers
	@$(BIN)/python -m tests.test_faults_table

bench: $(VENV)/.dev ## Measure, beside raw SQL and a live peer; CASE=grant for one, ARGS="--keep" to keep it
	@CASE=$(CASE) $(BIN)/python -m bench $(ARGS)

bench-smoke: $(VENV)/.dev ## Count turns on the wire, transactions, and what was lost or doubled
	@$(BIN)/python -m bench.smoke

bench-page: $(VENV)/.dev ## Write docs/benchmarks.md from the results in bench/results
	@$(BIN)/python -m bench.page

check: format lint types architecture test ## What CI runs: format, lint, types, architecture, docs, tests

format: $(VENV)/.dev ## Is the code formatted?
	@$(BIN)/ruff format --check .

lint: $(VENV)/.dev ## Is the code clean?
	@$(BIN)/ruff check .

types: $(VENV)/.dev ## Do the types hold?
	@$(BIN)/mypy

architecture: $(VENV)/.dev ## Does every room import only what it may?
	@$(BIN)/lint-imports

clean: ## Remove what was set up here (not your data)
	rm -rf $(VENV) .demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "jit needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@echo "· Making a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "Your Python cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv"; exit 2; }

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "· Installing what the demo needs (half a minute, once)"
	@$(PIP) -e '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "· Installing what the tests need (half a minute, once)"
	@$(PIP) -e '.[dev]'
	@touch $(VENV)/.demo $@
