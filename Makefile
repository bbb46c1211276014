# `make demo` and `make test` do all their own set-up, in .venv; nothing outside this directory is touched.
# Set-up is redone when pyproject.toml, CMakeLists.txt or a kernel changes, and needs no network once it is ready.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# An index that is away for a minute is waited for.
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --timeout 60 --retries 8
# The real Nova that tests/nova compares with; NOVASTATE_NOVA_VENV names an environment that has it already.
NOVA := build/nova-venv
NOVA_PYTHON := $(or $(NOVASTATE_NOVA_VENV),$(NOVA))/bin/python
KERNELS := $(wildcard src/novastate/_native/*.px[yi] src/novastate/_native/*.[ch])
.DELETE_ON_ERROR:
.PHONY: demo test test-asan test-neon bench bench-lab bench-objects lab test-nova nova-venv fuzz fuzzer nightly docs lint system-deps clean setup build

# The main job: a simulated cloud, one live migration from request to completion.
demo: $(VENV)/.built
	$(BIN)/novastate demo

# Every suite, on the compiled and on the pure-Python variant; ends with one line of counts.
test: setup nova-venv fuzzer
	$(BIN)/python tests/suites.py

# The kernels and their tests under AddressSanitizer and UndefinedBehaviorSanitizer (gcc's): some minutes.
test-asan: setup
	tools/asan.sh

# The kernels of bitmaps, footprints and tables for aarch64 (NEON) beside plain C, under qemu: seconds.
test-neon:
	tools/neon.sh

lint: setup
	$(BIN)/python tests/suites.py lint types imports

docs: setup
	$(BIN)/python tests/suites.py docs

# Two real libvirt daemons. Asked for by name, a lab that cannot run is a failure; `make test` only reports it.
lab: setup
	$(BIN)/python tests/suites.py --require lab

# Nova's own objects beside ours. Asked for by name, a Nova that cannot be installed is a failure; `make test` only reports it.
test-nova: setup nova-venv
	$(BIN)/python tests/suites.py --require nova

# What comes in from outside, damaged, for FUZZ_SECONDS (60), in the same way in every run but with FUZZ_SEED=0. Asked for by name, no fuzzer is a failure; `make test` only reports it.
fuzz: setup fuzzer
	$(BIN)/python tests/suites.py --require fuzz

# Ten minutes of it, and five thousand examples of each property of objects, machines and estimator, which may take hours.
nightly: setup fuzzer
	FUZZ_SECONDS=600 FUZZ_SEED=0 $(BIN)/python tests/suites.py --require fuzz
	HYPOTHESIS_PROFILE=nightly $(BIN)/pytest -q -n auto --dist loadfile tests/objects tests/machines tests/store tests/scheduling tests/_native tests/convergence

bench: setup
	$(PIP) install --group bench
	$(BIN)/python benchmarks/run.py

# Forecasts against real migrations of guests drawn at random (root; some eight minutes): make bench-lab BENCH_LAB='--guests 3'
bench-lab: setup
	$(BIN)/python benchmarks/bench_lab.py --write $(BENCH_LAB)

# Nova's objects and ours in one process: Nova's environment, with ours behind it.
bench-objects: setup nova-venv
	$(NOVA_PYTHON) -W ignore benchmarks/bench_objects.py --write

# libvirt-python is built against libvirt's own files, so it comes as soon as they are there; without it all but libvirt works.
setup: $(VENV)/.ready
	@$(BIN)/python -c 'import libvirt' 2>/dev/null || { \
	  if ! pkg-config --exists libvirt 2>/dev/null; then \
	    echo "setup: without libvirt-python: libvirt's development files are not installed (as root: make system-deps)"; \
	  elif ! $(PIP) install 'novastate[libvirt]'; then echo "setup: without libvirt-python: it could not be installed"; fi; }

# It never fails: who needs it asks tests/fuzz/needs.py.
fuzzer: setup
	@$(BIN)/python -c 'import importlib.util as u, sys; sys.exit(not u.find_spec("atheris"))' || $(PIP) install --group fuzz \
	  || echo "setup: without atheris for tests/fuzz: it could not be installed"

# Some 130 packages, for tests alone, in an environment of their own: once, and again when the versions change. It never fails:
# who needs it asks tests/nova/needs.py.
nova-venv: $(VENV)/.venv
	@[ -n "$$NOVASTATE_NOVA_VENV" ] || cmp -s tests/nova/constraints.txt $(NOVA)/.ready || { \
	  mkdir -p build && $(BIN)/python -m venv --clear $(NOVA) \
	  && timeout 1800 $(NOVA)/bin/python -m pip --disable-pip-version-check --timeout 60 --retries 8 \
	    install nova -c tests/nova/constraints.txt >$(NOVA).log 2>&1 \
	  && cp tests/nova/constraints.txt $(NOVA)/.ready; } \
	  || { echo "setup: without the real nova for tests/nova: it could not be installed ($(NOVA).log)"; grep -m 1 ERROR $(NOVA).log; }

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
	@tools/system-deps.sh

clean:
	rm -rf $(VENV) build dist docs/_build docs/generated .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks .coverage
	find src tests docs examples benchmarks -name __pycache__ -prune -exec rm -rf {} +
