# Two commands do everything on a fresh machine with Python 3.11 or newer: `make demo`, `make test`.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help demo test test-fast test-slow presets test-gpu lint bench wheel clean

help:
	@echo "make demo       search, confirm, export and train on the embedded synthetic market (2 minutes)"
	@echo "make test       all tests but the slow ones (about 20 minutes on 2 cores)"
	@echo "make test-fast  unit and property tests, to run while you work (1.5 minutes)"
	@echo "make test-slow  the slow tests: whole campaigns, clusters, chaos (over an hour)"
	@echo "make presets    check that all preset files are what their campaigns in results/ give, byte for byte"
	@echo "make test-gpu   core alone on a CUDA device, in the environment at hand (no Ray needed)"
	@echo "make lint       ruff, mypy, import-linter"
	@echo "make bench      the benchmarks that README quotes"
	@echo "make wheel      dist/preset_search-*.whl, which the nodes of a cluster install"

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("preset-search needs Python 3.11 or newer; name one with make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip --constraint constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[search,dev]'
	@touch $(STAMP)

demo: $(STAMP)
	rm -rf results/demo presets/demo.yaml checkpoints/demo
	$(BIN)/preset-search run examples/demo.yaml
	$(BIN)/preset-search confirm demo --top 1 --seeds 2 --folds 2
	$(BIN)/preset-search export demo --as demo
	$(BIN)/preset-train --preset demo --config examples/demo.yaml --output-dir checkpoints/demo

# What takes longest begins first: in the end no core is left waiting for it.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow and not gpu" -n 2 --dist loadfile --no-loadscope-reorder \
		tests/integration tests/search/statistics tests

# Unit and property tests. What starts Ray or other servers, or takes seconds by itself, is left to `make test`.
test-fast: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow and not gpu and not costly" -n 2 --dist loadfile \
		--ignore tests/integration tests

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow --timeout 3600

# Runs with the Python at hand: where the GPU is, torch is often installed already, for that GPU.
test-gpu:
	$(PYTHON) -m pytest -m gpu tests/gpu

presets: $(STAMP)
	$(BIN)/preset-search regenerate --all --check

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -m benchmarks

# Nodes install dist/*.whl: an older one beside it would be a second answer. An old build/ would leak files that are gone from the sources.
wheel: $(STAMP)
	rm -rf build dist
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
