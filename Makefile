# Everything a person or CI does with this tree. `make help` says what there is.

PYTHON ?= $(firstword $(wildcard /usr/bin/python3) python3)
DATA ?= data
FUZZ_SECONDS ?= 60
BIN := .venv/bin
UV := $(BIN)/uv pip install --quiet --python
MADE := .make
# Like pip and npm, uv shall trust the certificates that this machine trusts.
export UV_SYSTEM_CERTS := 1
NATIVE := src/ghostlive/protocols/webrtc/fanout/_kernel src/ghostlive/web/_sending
PAGES := $(shell find frontend -name node_modules -prune -o -type f -print 2>/dev/null)

# What was made is trusted only while it is there.
ifeq ($(wildcard $(BIN)/python),)
$(shell rm -rf $(MADE))
endif
ifeq ($(wildcard src/ghostlive/web/static/index.html),)
$(shell rm -f $(MADE)/pages)
endif
ifeq ($(wildcard frontend/node_modules),)
$(shell rm -f $(MADE)/node_modules)
endif

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup matrix demo serve test campaign check bench fuzz clean

help:
	@echo "make setup    install what the server needs and build its pages"
	@echo "make matrix   install the Matrix homeserver too (demo and test have it)"
	@echo "make demo     set up, start the server, broadcast a test picture, print a link"
	@echo "make serve    set up and start the server (DATA=$(DATA))"
	@echo "make test     run all tests, on the oldest and the newest Python here"
	@echo "make campaign run the tests that take long: floods, rooms of many"
	@echo "make check    format, lint, types, import order, front end, repository rules"
	@echo "make bench    run the benchmarks against their peers (BENCH=name for one)"
	@echo "make fuzz     feed the parsers with hostile bytes (FUZZ_SECONDS=$(FUZZ_SECONDS) each)"
	@echo "make clean    remove all that was made, but not the data"

setup: $(MADE)/runtime $(MADE)/pages
	@echo "Ghost Live is set up: \`make demo\` shows it, \`make serve\` starts it."

matrix: $(MADE)/matrix

demo: $(MADE)/runtime $(MADE)/matrix $(MADE)/pages
	@exec $(BIN)/ghostlive demo --data $(DATA)

serve: $(MADE)/runtime $(MADE)/pages
	@exec $(BIN)/ghostlive serve --data $(DATA)

test: $(MADE)/dev $(MADE)/pages
	@scripts/packages test
	@echo "== front end" && cd frontend && ../scripts/node npm run --silent test
	@scripts/python-tests

# One after the other: each of them keeps the whole machine busy.
campaign: $(MADE)/dev $(MADE)/pages
	@scripts/packages test
	@$(BIN)/pytest -m campaign

check: $(MADE)/fuzz $(MADE)/node_modules
	@echo "== format" && $(BIN)/ruff format --check
	@echo "== lint" && $(BIN)/ruff check
	@echo "== types" && $(BIN)/mypy
	@echo "== import order" && $(BIN)/lint-imports
	@echo "== front end" && cd frontend && ../scripts/node npm run --silent lint && ../scripts/node npm run --silent check
	@echo "== repository" && $(BIN)/python scripts/check_repository.py
	@echo "== fuzz targets start" && set -e; for script in tests/fuzz/fuzz_*.py; do \
	    PYTHONPATH=. $(BIN)/python "$$script" -runs=1 -seed=1 >$(MADE)/fuzzed 2>&1 || { cat $(MADE)/fuzzed; exit 1; }; done

bench: $(MADE)/dev $(MADE)/pages
	@scripts/packages bench
	@exec $(BIN)/python -m bench $(BENCH)

fuzz: $(MADE)/fuzz
	@set -e; for script in tests/fuzz/fuzz_*.py; do \
	    echo "== $$script"; PYTHONPATH=. $(BIN)/python "$$script" -max_total_time=$(FUZZ_SECONDS); done

clean:
	rm -rf $(MADE) .venv .venv-newest dist src/ghostlive/web/static frontend/node_modules
	rm -f $(NATIVE:=.*.so) $(NATIVE:=.log)
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	find src tests bench scripts -name __pycache__ -prune -exec rm -rf {} +

$(MADE)/venv: requirements/uv.txt
	@scripts/packages setup "$(PYTHON)"
	@echo "Making the Python environment .venv"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@mkdir -p $(MADE) && touch $@

$(MADE)/runtime: $(MADE)/venv requirements/runtime.txt requirements/build.txt pyproject.toml hatch_build.py $(NATIVE:=.pyx)
	@echo "Installing Python packages"
	@$(UV) .venv --require-hashes -r requirements/runtime.txt -r requirements/build.txt
	@$(UV) .venv --no-deps --no-build-isolation --editable .
	@# Where Python may not write (PYTHONDONTWRITEBYTECODE, another user), each start would compile everything again.
	@$(BIN)/python -m compileall -q -j 0 .venv/lib src/ghostlive >/dev/null || true
	@for log in $(NATIVE:=.log); do \
	    [ ! -e $$log ] || echo "Sending to many viewers will cost several times as much: $$log says what was missing"; done
	@touch $@

$(MADE)/matrix: $(MADE)/runtime requirements/matrix.txt
	@echo "Installing the Matrix homeserver"
	@$(UV) .venv --require-hashes -r requirements/matrix.txt
	@$(BIN)/python -m compileall -q -j 0 .venv/lib >/dev/null || true
	@touch $@

$(MADE)/dev: $(MADE)/matrix requirements/dev.txt
	@echo "Installing Python packages for developers"
	@$(UV) .venv --require-hashes -r requirements/dev.txt
	@touch $@

$(MADE)/fuzz: $(MADE)/dev requirements/fuzz.txt
	@$(UV) .venv --require-hashes -r requirements/fuzz.txt
	@touch $@

$(MADE)/node_modules: $(MADE)/venv frontend/package-lock.json frontend/package.json
	@echo "Installing packages of the front end"
	@cd frontend && ../scripts/node npm ci --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@

$(MADE)/pages: $(MADE)/node_modules $(PAGES)
	@echo "Building the pages"
	@cd frontend && ../scripts/node npm run --silent build -- --logLevel warn
	@touch $@
