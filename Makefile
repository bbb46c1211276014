PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.PHONY: setup build
setup: $(VENV)/.ready
$(VENV)/.ready: pyproject.toml CMakeLists.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q --group build --group test --group lint --group docs
	$(MAKE) build
	touch $@
build:
	$(BIN)/python -m pip install -q --no-build-isolation -e '.[cli,fast]'
