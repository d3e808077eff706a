# `make demo` and `make test` need nothing but Python 3.11+, make and the network: they install first what is missing.

VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.cleave-installed
# The first interpreter that is new enough; `make PYTHON=/path/to/python install` chooses another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$$p"; break; }; done)

.DEFAULT_GOAL := help
# Waiting threads of OpenMP spin by default, which starves everything else on a small machine.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: help install demo up test test-slow check fmt bench chaos lock openapi clean

help:  ## This list.
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null \
		|| sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/  make \1  \2/p' $(MAKEFILE_LIST)

install: $(STAMP)  ## Create .venv and install the locked dependencies (once).

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "error: Cleave needs Python 3.11 or newer; none was found." \
		"Install one, or name it: make PYTHON=/path/to/python" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Cleave needs Python 3.11 or" \
		"newer; $(PYTHON) is $$("$(PYTHON)" -V 2>&1)" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip' 2>/dev/null || { echo "error: $(PYTHON) cannot create virtual environments." \
		"On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "Creating $(VENV) with $$("$(PYTHON)" -V)"
	@"$(PYTHON)" -m venv "$(VENV)"

# pip compiles bytecode on one core; compileall uses all of them.
$(STAMP): requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing the locked dependencies: 2 to 3 minutes on a fast line, with nothing printed; 6.6 GB on disk (nearly all of it torch)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile \
		--require-hashes -r requirements.lock
	@$(BIN)/python -m compileall -qq -j 0 -x '/tests?/' "$$($(BIN)/python -c \
		'import sysconfig; print(sysconfig.get_path("purelib"))')" || true
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch "$@"

demo: install  ## The main job on real images: train, extract, compose, download, check (minutes).
	@$(BIN)/cleave demo

up: install  ## Start the whole service on this machine; Ctrl-C stops it.
	@$(BIN)/cleave up

# A missing PostgreSQL or Redis skips its tests, with the reason; where CI is set it is a failure.
# A process more than there are cores (four at most), as many tests wait for processes and servers; a file's
# tests in one of them: they share what its fixtures trained.
# In the order of tests/conftest.py, in which the longest come first: reordered they would be the last, beside idle cores.
test: install  ## Every test this machine can run in under 10 minutes.
	@$(BIN)/python -m pytest -m "not slow" -n $$(($$(nproc) + 1)) --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test-slow: install  ## The long tests that `make test` leaves out.
	@$(BIN)/python -m pytest -m slow --timeout 1800

check: install  ## Format, lint, types, import contracts, OpenAPI snapshot, migrations, packaging.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/contracts

fmt: install  ## Format and fix what can be fixed.
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

bench: install  ## What cutting costs, and every method at every composition size on digits.
	@$(BIN)/python -m benchmarks.cut
	@$(BIN)/python -m benchmarks.reproduce --scale digits

chaos: install  ## Kill real processes at random and see that every promise holds (an hour each; PostgreSQL and Redis must be installed).
	@$(BIN)/python -m benchmarks.chaos --backend embedded
	@$(BIN)/python -m benchmarks.chaos --backend servers

openapi: install  ## Rewrite docs/openapi.json, docs/specs.md and the client without asyncio after an intended change.
	@mkdir -p build && $(BIN)/python -m service.openapi > build/openapi.json && mv build/openapi.json docs/openapi.json
	@$(BIN)/python -m service.spec_tables > build/specs.md && mv build/specs.md docs/specs.md
	@$(BIN)/python -m service.sync_client

# One resolution, three files: everything; what the API image needs; what the worker image needs.
UV_COMPILE = build/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url pyproject.toml

lock:  ## Resolve the dependencies anew: requirements*.lock.
	"$(PYTHON)" -m venv build/uv
	build/uv/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(UV_COMPILE) --upgrade --all-extras -o requirements.lock
	$(UV_COMPILE) --constraints requirements.lock --extra postgres --extra s3 --extra otel -o requirements-api.lock
	$(UV_COMPILE) --constraints requirements.lock --extra engine --extra onnx --extra postgres --extra s3 --extra otel \
		-o requirements-worker.lock

clean:  ## Remove what the tools wrote; keeps .venv and the service's data.
	rm -rf build dist demo-output .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
