# Needs only python3 (3.11 or newer) and make. Every target takes ARGS="…".
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The environment is built again for another Python: make test PYTHON=python3.13
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
INSTALLED := $(VENV)/.installed-$(VERSION)
GUESTS := $(VENV)/.guests-$(VERSION)
ARGS ?=

.PHONY: help install demo test coverage guests bench chaos simulate docs lint format clean

help: ## Show the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /	/' | expand -t 12

install: ## Build .venv with everything
	@$(MAKE) --no-print-directory $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Say PYTHON=python3.12, for example.")'
	@test ! -e $(VENV) -o -x $(VENV)/bin/python$(VERSION) || rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(ARGS) --constraint constraints.txt --editable '.[local,dev]'
	@# Where PYTHONDONTWRITEBYTECODE is set, each process of the tests would compile the modules again.
	@$(BIN)/python -m compileall -q bridge tasks tests
	@touch $@

demo: ## Run the example pipeline with local Step Functions and Valkey (ARGS="--keep --executions 40 --json")
	@$(MAKE) --no-print-directory $(INSTALLED) ARGS= >&2
	@$(BIN)/celery -A bridge demo $(ARGS)

test: ## Run all tests (ARGS="-k heartbeat")
	@$(MAKE) --no-print-directory $(INSTALLED) ARGS=
	$(BIN)/python -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

coverage: ## Run all tests, and report which lines and branches of bridge/ they run
	@$(MAKE) --no-print-directory $(INSTALLED) ARGS=
	@rm -rf var/coverage && mkdir -p var/coverage
	@$(BIN)/coverage run -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS); \
	status=$$?; $(BIN)/coverage combine --quiet; $(BIN)/coverage report; exit $$status

guests: ## Test the bridge inside users' kinds of apps, on several brokers and versions (ARGS="-k django")
	@$(MAKE) --no-print-directory $(GUESTS) ARGS=
	$(BIN)/python -m pytest tests/guests --numprocesses 3 --dist loadfile --no-loadscope-reorder --timeout 600 $(ARGS)

$(GUESTS): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[local,dev,guests]'
	@touch $@

bench: ## Measure the bridge's cost, and compare it with other programs (ARGS="--quick --only cost --json FILE")
	@$(MAKE) --no-print-directory $(INSTALLED) ARGS= >&2
	@$(BIN)/python -m bench $(ARGS)

chaos: ## Kill processes and cut connections at random, and count what was lost (ARGS="--minutes 4 --seed 7 --executions 300 --json")
	@$(MAKE) --no-print-directory $(INSTALLED) ARGS= >&2
	@$(BIN)/python -m tests.faults.chaos $(ARGS)

simulate: ## Simulate the whole protocol by seed, on virtual time (ARGS="--seed 7 --hours 2", ARGS="--planted")
	@$(MAKE) --no-print-directory $(INSTALLED) ARGS= >&2
	@$(BIN)/python -m tests.simulation $(ARGS)

lint: ## Check format, style, types, the one-way imports, and the size of modules and functions
	@$(MAKE) --no-print-directory $(INSTALLED) ARGS=
	$(BIN)/ruff format --check $(ARGS)
	$(BIN)/ruff check $(ARGS)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/sizes_and_names.py

docs: ## Build the site into build/site; a warning is an error
	@$(MAKE) --no-print-directory $(INSTALLED) ARGS=
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict $(ARGS)

format: ## Format the code
	@$(MAKE) --no-print-directory $(INSTALLED) ARGS=
	$(BIN)/ruff format $(ARGS)
	$(BIN)/ruff check --fix $(ARGS)

clean: ## Remove the environment, caches, build results and var/
	rm -rf $(VENV) var build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
