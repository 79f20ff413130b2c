# `make` alone lists what there is to do.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# An environment that was made for a GPU stays one.
CUDA ?= $(if $(wildcard $(VENV)/.installed-cuda),1)
INSTALLED := $(VENV)/.installed$(if $(CUDA),-cuda)
# 2.13.0+cpu exists as a CPU build only, so that nothing of CUDA can come along unless it is asked for.
TORCH := torch==2.13.0$(if $(CUDA),,+cpu)
# Two workers share two cores: one thread each for torch, two for our kernels, whose tests compare one thread with two;
# and threads that wait must not keep the other worker from its core.
TEST_THREADS := OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=2 OMP_WAIT_POLICY=passive
PYTEST := $(TEST_THREADS) $(BIN)/python -m pytest -n 2 --dist loadfile

# The wheel of torch carries 125 MB of its own C++ tests.
PRUNE := $(BIN)/python -c 'import pathlib, shutil, sysconfig; torch = pathlib.Path(sysconfig.get_path("platlib"), "torch"); \
  shutil.rmtree(torch / "test", ignore_errors=True); \
  [path.unlink() for pattern in ("test_*", "*Test") for path in torch.glob("bin/" + pattern)]'

.PHONY: help install demo test test-all check bench table table-small table-divide table-divide-small clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 28

install: $(INSTALLED)  ## make the environment .venv (CUDA=1: with torch for a GPU)

demo: install  ## make a small network, run everything on it, and show the report
	$(BIN)/amity demo

test: $(VENV)/.tested  ## install what tests need and run them
	$(PYTEST) -m "not slow"

test-all: $(VENV)/.tested  ## run the slow tests too
	$(PYTEST)

check: $(VENV)/.tested  ## style, types, and the order of the layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: $(VENV)/.tested $(VENV)/.peers  ## measure every benchmark again and write benchmarks/RESULTS.md
	$(BIN)/python benchmarks/write_results.py

# Where the data sets lie that `make table` trains on.
DATA ?= ../shared/data

table: $(VENV)/.tested  ## train every arm on every network, and write experiments/RESULTS.md (hours; goes on where it was)
	$(BIN)/python experiments/table.py $(DATA)

table-small: $(VENV)/.tested  ## three networks, three arms, three seeds, into runs/table-small.md (minutes)
	$(BIN)/python experiments/table.py $(DATA) --seeds 3 --networks fb100_reed lastfm_hetrec foursquare_nyc \
	  --arms gat both system --records runs/table-small --page runs/table-small.md

table-divide: $(VENV)/.tested  ## divided arms beside one encoder, and write experiments/DIVIDE.md (many hours)
	$(BIN)/python experiments/divide.py $(DATA)

table-divide-small: $(VENV)/.tested  ## three arms on MovieLens 1M, one seed, into runs/table-divide-small.md
	$(BIN)/python experiments/divide.py $(DATA) --seeds 1 --networks ml1m_sequences --arms naive prompts \
	  --records runs/table-divide-small --page runs/table-divide-small.md

clean:  ## remove the environment, caches and runs
	rm -rf $(VENV) runs .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "amity needs Python 3.11 or newer; $(PYTHON) is older. Say which one to use: make install PYTHON=..."; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(if $(CUDA),$(PIP) uninstall --yes torch)
	$(PIP) install --no-compile -c constraints.txt "$(TORCH)" || \
	  { echo "pip found no $(TORCH). CPU builds of torch lie on PyTorch's own index: see Install in README.md."; exit 2; }
	$(PIP) install --no-compile -c constraints.txt -e .
	$(PRUNE)
	touch $@

$(VENV)/.tested: $(INSTALLED)
	$(PIP) install --no-compile -c constraints.txt -e ".[test]"
	touch $@

# PyTorch Geometric's compiled sampler has no wheel on PyPI: it is built from source, which takes a C++ compiler.
$(VENV)/.peers: $(INSTALLED)
	$(PIP) install --no-compile -c constraints.txt -e ".[peers]"
	$(PIP) install --no-compile --no-build-isolation torch-scatter torch-sparse
	touch $@
