# make demo   label the demo's tickets, from a bare checkout
# make test   what checks the project: ruff, mypy and all tests but those of `make slow`
# Both make .venv first; all they need is Python 3.11 and make.
# make test PYTHON=python3.12   the same with another interpreter, in a folder of its own: .venv-3.12

ifdef PYTHON
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
$(if $(VERSION),,$(error PYTHON=$(PYTHON) is no Python that runs here))
VENV := .venv-$(VERSION)
else
PYTHON := $(shell command -v python3.11 || command -v python3)
VENV := .venv
endif
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt

# Python compiles what is imported, once; pip would compile all that is there.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo replies tiny-mixtral test slow check docs audit sbom clean

demo: $(VENV)/.installed
	$(BIN)/python -m jobs run configs/demo/job.yaml
	$(BIN)/python -m configs.demo.accuracy

replies: $(VENV)/.installed
	$(BIN)/python -m jobs run configs/demo/replies.yaml

tiny-mixtral: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m configs.demo.recipe.train
	$(BIN)/python -m configs.demo.recipe.examine

test: $(VENV)/.installed-dev
	$(MAKE) --no-print-directory -j 2 check audit
	$(BIN)/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder -m "not slow"

# What takes minutes: more faults on clusters of their own, and the benchmarks' own commands.
slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m slow

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --num-workers auto
	$(BIN)/python -m tests.docs.links

# The pages as a site, in site/; before that the files that are made from the program.
docs: $(VENV)/.installed-docs
	$(BIN)/python -m jobs schema > configs/job.schema.json
	$(BIN)/python -m pipeline.config.reference > docs/job-file.md
	$(BIN)/python -m tests.docs.floors_picture > docs/pictures/floors.svg
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# Known weaknesses of the pinned packages; says so where no service answers that knows them.
audit: $(VENV)/.installed-dev
	$(BIN)/python -m tests.dependencies.audit

sbom: $(VENV)/.installed-dev
	$(BIN)/python -m tests.dependencies.sbom sbom.json

clean:
	rm -rf out site .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The pip that Python 3.11 brings takes twice as long. torch comes alone: what follows then finds it installed
# and asks for no other build.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mixtray needs Python 3.11 or later")'
	@echo "making $(VENV): PyTorch and Ray are installed, which takes some minutes"
	$(PYTHON) -m venv $(VENV)
	$(PIP) pip==26.3
	$(PIP) torch==2.13.0
	$(PIP) -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) -e '.[dev]'
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(PIP) -e '.[docs]'
	touch $@
