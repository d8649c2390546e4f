# `make` alone says what there is. Everything runs from .venv, which `make setup` makes and keeps up to date.
.DEFAULT_GOAL := help
.PHONY: help setup demo test check docs lock bench clean

BIN := .venv/bin
# More arguments for pytest, as in: make test ARGS="tests/drives -k s3"
ARGS ?=
# Most tests wait for other processes: three at once for each core keep it busy. Each brings servers, up to 1 GB of memory.
GIGABYTES := $(shell awk '/^MemAvailable/ { print int($$2 / 1048576) }' /proc/meminfo)
WORKERS ?= $(shell echo $$(( $$(nproc) * ($(GIGABYTES) > $$(nproc) * 4 ? 3 : 2) )))

help:
	@echo 'make setup   make .venv with everything pinned in requirements.lock (needs Python 3.11 or newer)'
	@echo 'make demo    back up a small SQLite database onto a folder, and show what came of it'
	@echo 'make test    install the servers that tests use, if they are missing, and run all tests'
	@echo 'make check   format, lint, types, layers and documentation: ruff, mypy --strict, import-linter, Sphinx'
	@echo 'make docs    build the documentation into build/site; a link that leads nowhere is an error'
	@echo 'make lock    pin the dependencies of pyproject.toml anew in requirements.lock'
	@echo 'make bench   run the programs under benchmarks/'
	@echo 'make clean   remove .venv, the caches and what the demo made'

setup:
	@scripts/setup
	@# pip compiles what it installs, and not what it installs in editable form.
	@$(BIN)/python -m compileall -q backupman

demo: setup
	@scripts/demo

test: setup
	@scripts/test-servers
	$(BIN)/pytest -n $(WORKERS) --dist worksteal $(ARGS)

check: setup
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory docs

docs: setup
	$(BIN)/sphinx-build --quiet --fresh-env --fail-on-warning --keep-going --jobs auto --conf-dir docs . build/site
	@echo 'Open build/site/index.html'

lock: setup
	@scripts/lock

bench: setup
	@scripts/test-servers
	@scripts/bench-peers
	@failed=; for program in benchmarks/bench_*.py; do \
		echo "$$program"; $(BIN)/python "$$program" $(ARGS) || failed="$$failed $$program"; \
	done; [ -z "$$failed" ] || { echo "These could not measure:$$failed" >&2; exit 1; }

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
