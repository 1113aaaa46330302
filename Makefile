# make all    set up and run the small study: tables, figures, report
# make test   every test; make test-fast: the everyday part; make test-cluster: on a SLURM cluster
# make torture   1,000 damaged inputs, 100 killed processes of a study
# make docs   the documentation as a site, build/docs/index.html
# make docs-figures   images and numbers of README.md, from the finished study
# make bench   training and sampling, compared with a straightforward baseline; make bench-gpu: on a GPU
# make audit   known vulnerabilities of the pinned packages
# make rehearsal   all runs of the full study on random networks and a few images
STUDY ?= nano
PYTHON ?= python3
BIN := .venv/bin
RESULTS := results/$(STUDY)
CORES := $(shell getconf _NPROCESSORS_ONLN)
# More processes than cores, because some tests wait. The tests of a file share what they train, so one process runs
# them all.
PYTEST = $(BIN)/pytest -n $(shell expr $(CORES) + $(WAITING)) --dist loadfile --no-loadscope-reorder
test: WAITING := 2
test-fast: WAITING := 1
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: all setup test test-setup test-fast test-cluster torture bench bench-gpu docs docs-figures rehearsal lint format lock audit schemas clean
.DELETE_ON_ERROR:

all: setup
	@snakemake all --config study=$(STUDY)
	@nanogen summary --study $(STUDY)

setup: .venv/installed

# Import what most jobs import, so that it is compiled before many jobs start, including jobs that may not
# write .pyc files. Compiling all packages would take four times as long.
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

# Install what tests need besides Python. If it cannot be installed, those tests are skipped with a message.
test-setup: setup
	@command -v chromium >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
	  && apt-get update -qq && apt-get install -qq --no-install-recommends chromium >/dev/null; } \
	  || echo "Chromium is not installed: the tests of the explorer's page are skipped"

# Lint runs in parallel with the tests, since mypy keeps only one core busy; its findings are printed last.
define tests
@mkdir -p build
@$(MAKE) --no-print-directory lint >build/lint.log 2>&1 & lint=$$!; \
  $(PYTEST) $(1) --ignore=tests/slurm; code=$$?; \
  wait $$lint || { cat build/lint.log; code=1; }; exit $$code
endef

test: test-setup
	$(call tests)

# Run the tests that start a SLURM cluster of two nodes on this machine. It takes over /etc/slurm meanwhile.
test-cluster: setup
	@command -v slurmctld >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
	  && apt-get update -qq && apt-get install -qq --no-install-recommends slurm-wlm munge >/dev/null; } \
	  || echo "SLURM is not installed: the tests that start a cluster are skipped"
	@$(BIN)/pytest tests/slurm

# Ten times as many damaged inputs and killed processes as in `make test`.
KILLS := 100
torture: setup
	@NANOGEN_FUZZ=1000 $(BIN)/pytest -n 0 tests/torture
	@PYTHONPATH=tests $(BIN)/python tests/torture/kills.py $(KILLS)

# Print tables for this machine's processor or one GPU, and write them to bench/results/. On a GPU, results are
# first checked for correctness.
bench: setup
	@$(BIN)/python bench/training.py

bench-gpu: setup
	@$(BIN)/python bench/training.py --suite gpu

test-fast: setup
	$(call tests,-m "not slow")

# The site opens from disk and loads nothing from the network.
docs: setup
	@snakemake docs
	@echo "build/docs/index.html"

# Run this after the default study has run again, and commit the files by hand.
docs-figures:
	@test -e $(RESULTS)/figures/overview.png \
	  || { echo "$(RESULTS)/figures/overview.png is not there: study $(STUDY) is not finished; run make all STUDY=$(STUDY)"; exit 1; }
	@cp $(RESULTS)/figures/overview.png docs/images/
	@python -m nanogen.docs.readme --study $(STUDY)
	@echo "docs/images/overview.png README.md"

# Run the rules of study paper at its resolution and latent sizes, on random networks and 8 images.
# STUDY=released does this for the study of released models, with a stand-in of the hub, and STUDY=mid for mid.
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

# Resolve the dependencies in pyproject.toml again. The file holds names, versions and hashes, no addresses.
lock: setup
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --all-extras \
	  --no-annotate --no-header --no-emit-index-url --upgrade -o requirements.txt pyproject.toml

# List known vulnerabilities of the pinned packages. pip-audit and its database are fetched over the network.
AUDIT ?= $(BIN)/uvx pip-audit
audit: setup
	@$(AUDIT) --requirement requirements.txt --require-hashes --disable-pip --progress-spinner off

schemas: setup
	@$(BIN)/nanogen schema --output config/schema

clean:
	rm -rf results build .snakemake
