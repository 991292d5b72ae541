# Everything runs in a virtual environment of its own; nothing else on the machine is touched.
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: demo test test-slow test-real gpu check docs format clean

demo: .venv/ready
	$(BIN)/layergym demo

test: .venv/ready
	$(BIN)/pytest -q

test-slow: .venv/ready
	$(BIN)/pytest -q -m slow

test-real: .venv/ready
	$(BIN)/pytest -q -m real

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
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade -c constraints.txt pip
	$(BIN)/pip install --quiet -c constraints.txt -e '.[all]' --group dev
	touch $@

clean:
	rm -rf .venv build dist src/*.egg-info
