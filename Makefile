# Two commands matter: `make demo` and `make test`. Both set up what they need.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
LOCK := requirements/dev.lock
KERNEL_SOURCES := $(wildcard kernels/*.py)
LIBRARY := kernels/lib/gwkernels-$(shell uname -m).so
ARGS ?=
KILLS ?= 100

.PHONY: help venv kernels demo test check format kill-test lock clean
help:
	@echo "make demo        play the pumping station story (ARGS=--stay keeps it running)"
	@echo "make test        run the test suite"
	@echo "make check       format, lint, types, import contracts, tidy"
	@echo "make kill-test   kill -9 the daemon KILLS=$(KILLS) times under load and check what survived"
	@echo "make kernels     compile the kernels ahead of time for this machine"
	@echo "make venv        build .venv and nothing else"

venv: $(VENV)/.ready
$(VENV)/.ready: $(LOCK) pyproject.toml
	@test -x $(PY) || { echo "creating $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing the locked packages (about a minute the first time)"
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCK)
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

kernels: $(LIBRARY)
$(LIBRARY): $(KERNEL_SOURCES) | $(VENV)/.ready
	@echo "compiling the kernels ahead of time"
	@$(PY) -m kernels.build

demo: $(VENV)/.ready $(LIBRARY)
	@$(PY) -m hil.demo $(ARGS)

test: $(VENV)/.ready $(LIBRARY)
	@$(PY) -m pytest $(ARGS)

check: $(VENV)/.ready
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/vulture
	$(VENV)/bin/deptry .
	$(VENV)/bin/codespell
	$(PY) -m pytest -q tests/test_tidy.py

format: $(VENV)/.ready
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

kill-test: $(VENV)/.ready $(LIBRARY)
	@$(PY) -m hil.kill --kills $(KILLS)

lock:
	$(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --all-extras --custom-compile-command "make lock" --output-file $(LOCK) pyproject.toml

clean:
	rm -rf build kernels/lib .mypy_cache .ruff_cache .pytest_cache
