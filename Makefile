PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test quick lint audit docs bench bench-page clean

demo: $(READY)
	$(BIN)/lostbits demo --out build/demo

test: $(READY) lint
	$(BIN)/python -m pytest -n 2 --dist worksteal

# For every commit: all but the tests that are marked slow.
quick: $(READY) lint
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Not part of lint, as it asks PyPI for advisories. Strict: what could not be looked up is no pass.
audit:
	$(PYTHON) -m venv build/audit
	build/audit/bin/python -m pip install --quiet pip-audit
	build/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

# Strict: a warning, such as a link that leads nowhere, fails the build. The tests build it so too.
docs: $(READY)
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet -b html docs build/docs
	@echo "wrote build/docs/index.html"

# torch first and pinned: an unpinned one pulls gigabytes of CUDA packages.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("lostbits needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

bench: $(READY)
	$(BIN)/python -m benchmarks.prepare
	$(BIN)/python -m benchmarks.diagnosis

# The tables of docs/benchmarks.md and docs/scaling.md, from benchmarks/results.
bench-page: $(READY)
	$(BIN)/python -m benchmarks.page

clean:
	rm -rf $(VENV) build
