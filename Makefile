# `make demo` and `make test` do all their own set-up, in .venv; nothing outside this directory is touched.
# Set-up is redone when pyproject.toml, CMakeLists.txt or a kernel changes, and needs no network once it is ready.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --timeout 60
KERNELS := $(wildcard src/novastate/_native/*.pyx src/novastate/_native/*.[ch])
PACKAGES := python3 python3-venv python3-dev gcc libc6-dev make git ca-certificates
.DELETE_ON_ERROR:
.PHONY: demo test bench lab docs lint system-deps clean setup build

# The main job: a simulated cloud, one live migration from request to completion.
demo: $(VENV)/.built
	$(BIN)/novastate demo

# Every suite, on the compiled and on the pure-Python variant; ends with one line of counts.
test: setup
	$(BIN)/python tests/suites.py

lint: setup
	$(BIN)/python tests/suites.py lint types imports

docs: setup
	$(BIN)/python tests/suites.py docs

# Two real libvirt daemons. Asked for by name, a lab that cannot run is a failure; `make test` only reports it.
lab: setup
	$(BIN)/python tests/suites.py --require lab

bench: setup
	$(PIP) install --group bench
	$(BIN)/python benchmarks/run.py

setup: $(VENV)/.ready

# --- the virtual environment: python, then the package, then the tools of `make test`

$(VENV)/.venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "novastate needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo absent): name one, as in make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) has no venv module: install the package python3-venv (as root: make system-deps)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install 'pip>=25.1'
	@touch $@

$(VENV)/.built: $(VENV)/.venv pyproject.toml CMakeLists.txt $(KERNELS)
	$(MAKE) --no-print-directory build
	@touch $@

$(VENV)/.ready: $(VENV)/.built pyproject.toml
	$(PIP) install --group test --group lint --group docs
	@touch $@

# Without a working compiler this installs the pure-Python variant, and the last line says so.
build: $(VENV)/.venv
	$(PIP) install --group build
	$(PIP) install --no-build-isolation -e '.[cli,fast]'
	@$(BIN)/python -c 'import novastate._native as n; n.NATIVE or print("novastate runs without its compiled kernels:", n.REASON)'

# --- the system's own packages; quick when they are there

system-deps:
	@if ! command -v apt-get >/dev/null; then echo "system-deps: no apt-get here; needed: Python 3.11 with venv, a C compiler, git"; \
	elif dpkg -s $(PACKAGES) >/dev/null 2>&1; then echo "system-deps: everything is installed"; \
	elif [ "$$(id -u)" != 0 ]; then echo "system-deps: not root; as root: apt-get install $(PACKAGES)"; \
	else export DEBIAN_FRONTEND=noninteractive APT='timeout 600 apt-get -q -y -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 -o Acquire::http::Timeout=30'; \
	  $$APT update && $$APT install --no-install-recommends $(PACKAGES); fi </dev/null

clean:
	rm -rf $(VENV) build dist docs/_build docs/generated .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks .coverage
	find src tests docs examples benchmarks -name __pycache__ -prune -exec rm -rf {} +
