# `make` lists the targets. Environments are made with $(PYTHON) and reused until pyproject.toml changes.

SHELL := bash
.SHELLFLAGS := -eo pipefail -c
PYTHON ?= python3
DEMO_ENV ?= .venv-demo
TEST_ENV ?= .venv-test
DIST_ENV ?= .venv-dist

DEMO_BIN := $(DEMO_ENV)/bin
TEST_BIN := $(TEST_ENV)/bin
# Tests side by side, and the twenty that take longest. `make test SIDE_BY_SIDE=` runs them one after the other.
SIDE_BY_SIDE ?= -n auto --maxprocesses 8 --dist worksteal --durations=20 --durations-min=1
SOURCES := $(shell find seglab export batch -type f -not -name '*.pyc' -not -path '*/.*')

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

# What pip does, a line for each package that takes a while.
PROGRESS := awk '/^ *(Downloading|Using cached) .*[0-9] (MB|GB)/ { print "  " $$0; fflush() } \
	/^Installing collected/ { print "  Unpacking " NF - 3 " packages"; fflush() }'

.DELETE_ON_ERROR:
.PHONY: help demo test check slow lint types docs site bench bench-quick track-quick dist dist-demo clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(DEMO_ENV)/.installed ## masks of synthetic images with the bundled model, in an environment without torch
	$(DEMO_BIN)/seglab synth --out demo/archive --count 8 --size 600x450 --size 1024x768 --size 768x1024 --size 2592x1944 --seed 1
	$(DEMO_BIN)/seg-batch run demo/archive/images --out demo/masks --overlays demo/overlays
	@echo
	$(DEMO_BIN)/seg-batch score demo/masks demo/archive/masks
	@echo
	@echo "Open demo/masks/report.html in a browser; the pictures are in demo/overlays."

test: $(TEST_ENV)/.installed ## the fast tests, in an environment with everything (7.2 GB)
	$(TEST_BIN)/python -m pytest $(SIDE_BY_SIDE)

check: lint types ## lint, types, and the tests of what you changed
	$(TEST_BIN)/python -m tests.support.changed $(SIDE_BY_SIDE)

slow: $(TEST_ENV)/.installed ## the slow tests; what they need and is not there is skipped, with the reason
	$(TEST_BIN)/python -m pytest $(SIDE_BY_SIDE) -m 'slow and not gpu'

lint: $(TEST_ENV)/.installed ## ruff: rules and format; import-linter: the order of packages and rooms
	$(TEST_BIN)/ruff check .
	$(TEST_BIN)/ruff format --check .
	$(TEST_BIN)/lint-imports --no-cache

types: $(TEST_ENV)/.installed ## strict mypy
	$(TEST_BIN)/mypy seglab export batch tests benchmarks docs

docs: $(TEST_ENV)/.installed ## write docs/cli.md from the commands themselves
	$(TEST_BIN)/python -m docs.tools.cli_page

site: $(TEST_ENV)/.installed ## the documentation as web pages in docs/_site; a warning is an error
	$(TEST_BIN)/python -m sphinx -W --keep-going -n -q -b html docs docs/_site
	@echo "docs/_site/index.html"

bench: $(TEST_ENV)/.installed ## all benchmarks; writes benchmarks/RESULTS.md
	mkdir -p .benchmarks
	$(TEST_BIN)/python -m pytest benchmarks --benchmark-enable --benchmark-only --benchmark-json .benchmarks/bench.json
	$(TEST_BIN)/python -m docs.tools.benchmark_page .benchmarks/bench.json benchmarks/RESULTS.md

bench-quick: $(TEST_ENV)/.installed ## each benchmark once, small
	mkdir -p .benchmarks
	$(TEST_BIN)/python -m pytest benchmarks --benchmark-enable --benchmark-only --quick --benchmark-json .benchmarks/quick.json

track-quick: $(TEST_ENV)/.installed ## this version beside the one before, small
	$(TEST_BIN)/python -m benchmarks.track --quick --history .benchmarks/history.jsonl --plot .benchmarks/track.png

dist: ## wheel and sdist in dist/
	rm -rf dist
	test -x $(DIST_ENV)/bin/python || $(PYTHON) -m venv $(DIST_ENV)
	@$(DIST_ENV)/bin/python -m pip install build | $(PROGRESS)
	$(DIST_ENV)/bin/python -m build --outdir dist .

dist-demo: ## masks by the wheel in dist/, installed into an environment of its own, away from the checkout
	wheel=$$(ls $(CURDIR)/dist/*.whl) && place=$$(mktemp -d) && trap 'rm -rf "$$place"' EXIT && cd "$$place" && \
	$(PYTHON) -m venv env && env/bin/python -m pip install "$$wheel" | $(PROGRESS) && \
	env/bin/seglab synth --out archive --count 4 --size 600x450 --size 768x1024 --seed 1 && \
	env/bin/seg-batch run archive/images --out masks && \
	env/bin/seg-batch verify masks && env/bin/seg-batch score masks archive/masks

clean: ## remove the environments, the demo and the builds
	rm -rf $(DEMO_ENV) $(TEST_ENV) $(DIST_ENV) demo dist

# A plain install copies the sources, so it is repeated when one of them changes; that takes seconds.
$(DEMO_ENV)/.installed: pyproject.toml README.md $(SOURCES)
	test -x $(DEMO_BIN)/python || $(PYTHON) -m venv $(DEMO_ENV)
	@echo "Installing into $(DEMO_ENV): about 0.8 GB."
	@$(DEMO_BIN)/python -m pip install . | $(PROGRESS)
	@touch $@

$(TEST_ENV)/.installed: pyproject.toml
	test -x $(TEST_BIN)/python || $(PYTHON) -m venv $(TEST_ENV)
	@echo "Installing into $(TEST_ENV): on Linux about 7.2 GB, most of it CUDA libraries that torch and torchvision ask"
	@echo "for: builds without them are not on PyPI."
	@$(TEST_BIN)/python -m pip install --editable '.[cluster,train,dicom,heic,outputs,remote,web,weights,wandb,mlflow,docs,dev]' | $(PROGRESS)
	@touch $@
