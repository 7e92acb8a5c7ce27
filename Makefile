# Two commands matter: `make demo` and `make test`. Both set up what they need.
PYTHON ?= python3
VENV := .venv
# The oldest supported hub and KubeSpawner: what the newest z2jh release still ships.
OLDEST := .venv-oldest
BIN := $(VENV)/bin
LOCALE := gpu_spawner/hub/locale
# A hundred Pythons are started; each would compile all of the package again.
unexport PYTHONDONTWRITEBYTECODE
PIP := -m pip --disable-pip-version-check install --quiet
# A process for each core and one more, for many tests wait for a cluster or a browser; each with
# whole files: clusters and hubs are shared within a file. In the order of tests/conftest.py: files
# with few tests take the longest.
CORES := $(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
SPREAD := --numprocesses $(shell expr $(CORES) + 1) --dist loadfile --no-loadscope-reorder

.PHONY: demo demo-torch test test-oldest lint types docs messages bench bench-scale bench-faults clean

demo: $(VENV)/.demo
	@exec $(BIN)/gpu-spawner demo $(ARGS)

# The CPU build of PyTorch is enough for `import torch` to work in the simulated GPU servers.
demo-torch: $(VENV)/.demo $(VENV)/.torch
	@exec $(BIN)/gpu-spawner demo $(ARGS)

test: lint types docs
	$(BIN)/python -m pytest $(SPREAD) $(PYTEST_ARGS)

# What touches JupyterHub and KubeSpawner once more, with the oldest that are supported; for CI.
test-oldest: $(OLDEST)/.test
	$(OLDEST)/bin/python -m pytest -m hosts $(SPREAD) $(PYTEST_ARGS)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports setup.cfg --no-cache

types: $(VENV)/.test
	$(BIN)/mypy

docs: $(VENV)/.test
	$(BIN)/sphinx-build -q -W --keep-going -b html docs build/docs

# Bring the catalogues of messages up to date: after sentences have changed, and after translating.
messages: $(VENV)/.test
	$(BIN)/pybabel -q extract -F $(LOCALE)/babel.cfg --omit-header --add-location=file --sort-by-file \
	    -w 100 -o $(LOCALE)/gpu_spawner.pot .
	$(BIN)/pybabel -q update -D gpu_spawner -i $(LOCALE)/gpu_spawner.pot -d $(LOCALE) -w 100 \
	    --no-fuzzy-matching --ignore-obsolete --ignore-pot-creation-date
	$(BIN)/pybabel -q compile -D gpu_spawner -d $(LOCALE)

# Every figure of the README with its target: what code costs, then a hub at Kubernetes' limits.
bench: $(VENV)/.test
	$(BIN)/python -m pytest tests/benchmarks --benchmark-only --benchmark-columns=min,median,rounds $(PYTEST_ARGS)
	$(BIN)/python -m pytest -q -s tests/preload/test_first_user.py
	$(MAKE) --no-print-directory bench-scale

bench-scale: $(VENV)/.test
	$(BIN)/python tests/benchmarks/scale_hub.py $(SCALE_ARGS)

# A thousand faults, hubs killed at every request and at forty moments drawn by lot, and a thousand
# starts and stops: hours.
bench-faults: $(VENV)/.test
	GPU_SPAWNER_FAULTS=1000 $(BIN)/python -m pytest -q -s tests/hub/test_faults_storm.py tests/hub/test_faults_killed.py tests/hub/test_claims_rounds.py

clean:
	rm -rf $(VENV) $(OLDEST) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.demo: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) --editable '.[demo]'
	@touch $@

$(VENV)/.test: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) --editable '.[test]'
	@touch $@ $(VENV)/.demo

# The CPU build comes from an index that is already configured, else from PyTorch's own; without
# NumPy it complains at import.
$(VENV)/.torch: $(VENV)/.demo
	$(BIN)/python $(PIP) numpy
	$(BIN)/python $(PIP) 'torch==2.13.0+cpu' 2>/dev/null || \
	$(BIN)/python $(PIP) --index-url https://download.pytorch.org/whl/cpu 'torch==2.13.0'
	@touch $@

$(OLDEST)/.test: setup.cfg pyproject.toml
	test -x $(OLDEST)/bin/python || $(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python $(PIP) --editable '.[test]' 'jupyterhub==5.5.*' 'jupyterhub-kubespawner==7.0.*'
	@touch $@
