# The two commands: `make demo` and `make test`. Both do all their own set-up.
PYTHON ?= $(shell for p in python3 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test check browser bench clean

demo: $(VENV)/.installed  ## serve the app on http://127.0.0.1:7860
	$(BIN)/python app.py

test: $(VENV)/.installed-dev  ## everything that can be tested on this machine
	$(BIN)/python -m pytest

check: $(VENV)/.installed-dev  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

browser: $(VENV)/.installed-dev  ## only the journeys in headless Chromium
	$(BIN)/python -m pytest tests/test_browser.py -n 0

bench: $(VENV)/.installed-dev  ## ratios against what a user would use instead -> benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks

clean:  ## remove the virtual environment and caches (runs and results under .asrdemo stay)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.created:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed, and neither was found. Set one: make demo PYTHON=/path/to/python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.installed: requirements.txt | $(VENV)/.created
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/.installed-dev: requirements.txt requirements-dev.txt | $(VENV)/.created
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@ $(VENV)/.installed
