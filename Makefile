# Everything runs in a virtual environment of its own; nothing else on the machine is touched.
# The first Python on the PATH that fits; another one: make PYTHON=/path/to/python
FITS := import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11 python; do \
	if $$name -c '$(FITS)' 2>/dev/null; then echo $$name; break; fi; done)
BIN := .venv/bin

.PHONY: demo test test-slow test-real test-latest robustness gpu check docs format clean

demo: .venv/ready
	$(BIN)/layergym demo

test: .venv/ready
	$(BIN)/pytest -q -n 2

test-slow: .venv/ready
	$(BIN)/pytest -q -m slow

test-real: .venv/ready
	$(BIN)/pip install --quiet -c constraints.txt -e '.[quantize]'
	$(BIN)/pytest -q -m real

test-latest: .venv/ready
	$(BIN)/pytest -q -m latest

robustness: .venv/ready
	$(BIN)/python -m benchmarks.robustness

gpu: .venv/ready
	PATH="$(CURDIR)/$(BIN):$$PATH" bash benchmarks/gpu/run.sh

check: .venv/ready
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

docs: .venv/ready
	$(BIN)/sphinx-build -W --keep-going -q docs build/docs
	@echo build/docs/index.html

format: .venv/ready
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

.venv/ready: pyproject.toml constraints.txt
	@$(or $(PYTHON),false) -c '$(FITS)' || { echo "layergym needs Python 3.11, 3.12 or 3.13 with its" \
	  "venv module (on Debian and Ubuntu the package python3-venv);" \
	  "name one: make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade -c constraints.txt pip
	$(BIN)/pip install --quiet -c constraints.txt -e '.[all]' --group dev
	touch $@

clean:
	rm -rf .venv build dist src/*.egg-info
