# Needs python3 (3.11 or newer) and make, nothing else. Every target takes ARGS="…".
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One of another Python is built anew: make test PYTHON=python3.13
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
INSTALLED := $(VENV)/.installed-$(VERSION)
GUESTS := $(VENV)/.guests-$(VERSION)
ARGS ?=

.PHONY: help install demo test coverage guests bench chaos docs lint format clean

help: ## Show the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /	/' | expand -t 12

install: ## Build .venv with everything
	@$(MAKE) --no-print-directory $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Say PYTHON=python3.12, for example.")'
	@test ! -e $(VENV) -o -x $(VENV)/bin/python$(VERSION) || rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(ARGS) --constraint constraints.txt --editable '.[local,dev]'
	@# Else each process of the tests compiles it anew where PYTHONDONTWRITEBYTECODE is set.
	@$(BIN)/python -m compileall -q bridge tasks tests
	@touch $@

demo: ## Run the example pipeline on local parts (ARGS="--keep --executions 40 --json")
	@$(MAKE) --no-print-directory $(INSTALLED) ARGS= >&2
	@$(BIN)/celery -A bridge demo $(ARGS)

test: ## Run all tests (ARGS="-k heartbeat")
	@$(MAKE) --no-print-directory $(INSTALLED) ARGS=
	$(BIN)/python -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

coverage: ## Run all tests, and say which lines and branches of bridge/ they run
	@$(MAKE) --no-print-directory $(INSTALLED) ARGS=
	@rm -rf var/coverage && mkdir -p var/coverage
	@$(BIN)/coverage run -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS); \
	status=$$?; $(BIN)/coverage combine --quiet; $(BIN)/coverage report; exit $$status

guests: ## Live in apps as people have them, on several brokers (ARGS="-k django")
	@$(MAKE) --no-print-directory $(GUESTS) ARGS=
	$(BIN)/python -m pytest tests/guests --numprocesses 3 --dist loadfile --no-loadscope-reorder --timeout 600 $(ARGS)

$(GUESTS): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[local,dev,guests]'
	@touch $@

bench: ## Measure against peers and floors (ARGS="--quick --only cost --json FILE")
	@$(MAKE) --no-print-directory $(INSTALLED) ARGS= >&2
	@$(BIN)/python -m bench $(ARGS)

chaos: ## Kill and cut at random, count what was lost (ARGS="--minutes 4 --seed 7 --executions 300 --json")
	@$(MAKE) --no-print-directory $(INSTALLED) ARGS= >&2
	@$(BIN)/python -m tests.faults.chaos $(ARGS)

lint: ## Check format, style, types, the one-way flow, and the size of modules and functions
	@$(MAKE) --no-print-directory $(INSTALLED) ARGS=
	$(BIN)/ruff format --check $(ARGS)
	$(BIN)/ruff check $(ARGS)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/house.py

docs: ## Build the site into build/site, strictly
	@$(MAKE) --no-print-directory $(INSTALLED) ARGS=
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict $(ARGS)

format: ## Format the code
	@$(MAKE) --no-print-directory $(INSTALLED) ARGS=
	$(BIN)/ruff format $(ARGS)
	$(BIN)/ruff check --fix $(ARGS)

clean: ## Remove the environment and what runs left behind
	rm -rf $(VENV) var build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
