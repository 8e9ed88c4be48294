# Everything needs only Python 3.11+ and make:  make demo | test | test-slow | test-all | lint
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-slow test-all lint format notebooks clean

$(VENV)/.runtime: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.dev: $(VENV)/.runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

# Six methods trained, compared and plotted; the picture and the table go to runs/demo.
demo: $(VENV)/.runtime
	$(BIN)/python -m experiments.demo

# Most of a cold run is XLA compiling, which takes a third less without the optimisations named here. What is promised
# bit for bit is tested again with the compiler as users have it, in test-slow (marker `exact`).
QUICK := --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true \
	--xla_cpu_use_fusion_emitters=false

# A file to a process: its tests share what is compiled.
test: $(VENV)/.dev
	XLA_FLAGS="$(QUICK) $$XLA_FLAGS" $(BIN)/python -m pytest -m "not slow" -n logical --maxprocesses 4 --dist loadfile

# Processes killed again and again, a full disk, eight simulated devices, notebooks: minutes of starting and stopping.
test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m "(slow or exact) and not twins" -n logical --maxprocesses 2 --dist loadfile

# Everything, the comparisons of all robots with C MuJoCo included.
test-all: $(VENV)/.dev
	$(BIN)/python -m pytest

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The .ipynb files from their py:percent sources.
notebooks: $(VENV)/.dev
	$(BIN)/jupytext --to ipynb notebooks/*.py

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache
