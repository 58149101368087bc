# Two commands do everything, set-up included:  make demo   and   make test
# PYTHON names the interpreter that makes .venv (3.11 or newer).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Two test processes, each a file at a time: fixtures of a file are made once.
PARALLEL := -n 2 --dist loadfile

.PHONY: help install demo test test-all lint types clean

help:
	@echo "make demo    make .venv, install, score the bundled sample, choose from it   (demo-out/)"
	@echo "make test    make .venv, install, run the tests"
	@echo "make lint    ruff        make types   mypy        make test-all   the long tests too"
	@echo "make clean   remove .venv and what was made"

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@echo "== setting up $(VENV) (some two minutes, 2 GB; once)"
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || \
		(echo "imine needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..." && exit 1)
	@$(BIN)/python -c "import sys, pip; sys.exit(sys.version_info < (3, 11))" 2>/dev/null || \
		$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[train,search,flaml,report,dev]"
	@touch $(STAMP)

demo: $(STAMP)
	@echo "== the embedded models (177 MB, once, into the cache folder)"
	@$(BIN)/imine models get
	@echo "== mining the bundled sample"
	@mkdir -p demo-out
	$(BIN)/imine select --sample --fraction 0.25 -o demo-out/mined.jsonl

test: $(STAMP)
	@echo "== the embedded models (177 MB, once, into the cache folder)"
	@$(BIN)/imine models get
	@echo "== the tests"
	$(BIN)/python -Im pytest $(PARALLEL)

test-all: $(STAMP)
	@$(BIN)/imine models get
	$(BIN)/python -Im pytest $(PARALLEL) -m ""

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

clean:
	rm -rf $(VENV) demo-out dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
