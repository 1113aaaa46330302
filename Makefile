# make all    set up and run the small study: tables, figures, report
# make test   every test; make test-fast: the everyday part; make test-cluster: on a SLURM
# make torture   1,000 damaged inputs, 100 killed processes of a study
# make docs   the documentation as a site, build/docs/index.html
# make docs-figures   pictures and numbers of README.md, from the finished study
# make bench   training and sampling beside a straightforward baseline; make bench-gpu: on a GPU
# make audit   known vulnerabilities of the pinned packages
# make rehearsal   all runs of the full study on random networks and a few images
STUDY ?= nano
PYTHON ?= python3
BIN := .venv/bin
RESULTS := results/$(STUDY)
# One process more than cores, since some tests wait; those of a file share what they train, so one process
# has them all.
PYTEST := $(BIN)/pytest -n $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1) --dist loadfile --no-loadscope-reorder
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: all setup test test-setup test-fast test-cluster torture bench bench-gpu docs docs-figures rehearsal lint format lock audit schemas clean
.DELETE_ON_ERROR:

all: setup
	@snakemake all --config study=$(STUDY)
	@nanogen summary --study $(STUDY)

setup: .venv/installed

# What most jobs import is imported once, so that it is compiled when many jobs start, also those that may
# not write .pyc files. To compile all packages takes four times as long.
WARM := import importlib, snakemake.cli, pandas, torch.distributed.run; \
  from nanogen.fork_server import LIBRARIES; [importlib.import_module(name) for name in LIBRARIES]
.venv/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11)' 2>/dev/null \
	  || { echo "Python 3.11 or newer is needed; set PYTHON=python3.x"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv \
	  || { echo "python3 -m venv failed: install the package python3-venv"; exit 1; }
	@echo "Installing the pinned packages into .venv (once)"
	@$(BIN)/python -m pip install --quiet uv==0.13.8
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -c '$(WARM)'
	@$(BIN)/python -m compileall -q src
	@touch $@

# What tests need besides Python; where it cannot be installed they are skipped and say so.
test-setup: setup
	@command -v chromium >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
	  && apt-get update -qq && apt-get install -qq --no-install-recommends chromium >/dev/null; } \
	  || echo "Chromium is not installed: the tests of the explorer's page are skipped"

# Lint runs beside the tests, since mypy keeps only one core busy; what it finds is printed last.
define tests
@mkdir -p build
@$(MAKE) --no-print-directory lint >build/lint.log 2>&1 & lint=$$!; \
  $(PYTEST) $(1) --ignore=tests/slurm; code=$$?; \
  wait $$lint || { cat build/lint.log; code=1; }; exit $$code
endef

test: test-setup
	$(call tests)

# A SLURM of two nodes on this machine, which takes over /etc/slurm while it runs.
test-cluster: setup
	@command -v slurmctld >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
	  && apt-get update -qq && apt-get install -qq --no-install-recommends slurm-wlm munge >/dev/null; } \
	  || echo "SLURM is not installed: the tests that start a cluster are skipped"
	@$(BIN)/pytest tests/slurm

# Ten times as many damaged inputs, and as many killed processes, as `make test` tries.
KILLS := 100
torture: setup
	@NANOGEN_FUZZ=1000 $(BIN)/pytest -n 0 tests/torture
	@PYTHONPATH=tests $(BIN)/python tests/torture/kills.py $(KILLS)

# Tables, also in bench/results/, of this machine's processor or of one GPU, whose results are checked first.
bench: setup
	@$(BIN)/python bench/training.py

bench-gpu: setup
	@$(BIN)/python bench/training.py --suite gpu

test-fast: setup
	$(call tests,-m "not slow")

# The site opens from disk and asks for nothing from the network.
docs: setup
	@snakemake docs
	@echo "build/docs/index.html"

# Committed by hand, when the default study was run anew.
docs-figures:
	@test -e $(RESULTS)/figures/overview.png \
	  || { echo "$(RESULTS)/figures/overview.png is not there: study $(STUDY) is not finished; run make all STUDY=$(STUDY)"; exit 1; }
	@cp $(RESULTS)/figures/overview.png docs/images/
	@python -m nanogen.docs.readme --study $(STUDY)
	@echo "docs/images/overview.png README.md"

# The full study's rules at its resolution and sizes of latents, on random networks and 8 images; with
# STUDY=released those of the released models, which a stand-in of the hub has, and with STUDY=mid those
# of mid.
rehearsal: setup
ifeq ($(STUDY),released)
	@nanogen stand-in --study released-rehearsal --folder results/released-rehearsal/hub -- \
	  snakemake all --config study=released-rehearsal
	@nanogen summary --study released-rehearsal
else ifeq ($(STUDY),mid)
	@snakemake all --config study=mid-rehearsal
	@nanogen summary --study mid-rehearsal
else
	@snakemake all --config study=rehearsal
	@nanogen summary --study rehearsal
endif

lint: setup
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy
	@$(BIN)/snakefmt --check Snakefile rules
	@$(BIN)/yamllint --strict config envs profiles .pre-commit-config.yaml
	@$(BIN)/snakemake --lint
	@$(BIN)/python lint/prose.py

format: setup
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .
	@$(BIN)/snakefmt Snakefile rules

# Resolve the dependencies in pyproject.toml again. Names, versions and hashes only, no addresses.
lock: setup
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --all-extras \
	  --no-annotate --no-header --no-emit-index-url --upgrade -o requirements.txt pyproject.toml

# Known vulnerabilities of the pinned packages; pip-audit and its database are asked over the network.
AUDIT ?= $(BIN)/uvx pip-audit
audit: setup
	@$(AUDIT) --requirement requirements.txt --require-hashes --disable-pip --progress-spinner off

schemas: setup
	@$(BIN)/nanogen schema --output config/schema

clean:
	rm -rf results build .snakemake
