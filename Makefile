# Everything runs in .venv, which the first target that needs it makes.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test check coverage bench-check format clean

help:  ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /|/' | awk -F'|' '{printf "  make %-11s %s\n", $$1, $$2}'

setup: $(STAMP)  ## Make .venv and install DermaSense with its development tools (about 6 GB, torch's default build)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python >= 3.11 is needed; say make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 2; }
	@echo "installing into .venv: about 6 GB, some minutes, pip is quiet meanwhile"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,export,serve,sweep]'
	@touch $(STAMP)

demo: setup  ## Train, test and report on synthetic images, in under three minutes on two cores
	$(BIN)/python -m dermasense.train

test: setup  ## Run the tests
	$(BIN)/python -m pytest -n auto --maxprocesses=8 --dist loadfile

check: setup  ## Lint, check the format, run the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -n auto --maxprocesses=8 --dist loadfile

format: setup  ## Format the code and mend what the linter can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

coverage: setup  ## Run the tests and show which lines and branches no test runs (half an hour on two cores)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n auto --maxprocesses=8 --dist loadfile
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=92

bench-check: setup  ## Measure the steps again and compare with the committed ratios (minutes, on a quiet machine)
	$(BIN)/python benchmarks/steps.py --check

clean:  ## Remove caches of decoded images and Python's own; runs stay
	rm -rf outputs/cache .pytest_cache .ruff_cache
