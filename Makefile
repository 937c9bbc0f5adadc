# Two commands do everything, set-up included, and may be repeated:  make quickstart   make test
PYTHON ?= python3
VENV   := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
RUN  := $(BIN)/python
PIP  := $(RUN) -m pip --disable-pip-version-check --quiet
# Files of tests are shared out over the cores; a file's own tests stay together, since they share what they made.
SHARED := -n auto --dist loadfile

.PHONY: quickstart test unit chapters lint bench help clean

help:            ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

quickstart: $(VENV)/installed ## train a small model on embedded tales and let it tell some (it says first how many minutes that takes)
	$(RUN) -m llm_from_scratch quickstart $(ARGS)

test: unit chapters ## everything that must hold: unit tests, doctests, exercises, chapters

unit: $(VENV)/installed-test ## tests and doctests, with the compiled kernels and with their NumPy twins
	$(RUN) -m pytest $(SHARED) -m "not chapters"
	LLM_FROM_SCRATCH_KERNELS=numpy $(RUN) -m pytest $(SHARED) -m "not chapters" tests/autograd tests/kernels tests/functional \
		tests/layers tests/models tests/families tests/checkpoints tests/recipes tests/tokenizers tests/training

chapters: $(VENV)/installed-test ## execute every chapter and compare it with what is committed; again as a lesser processor where it trains
	$(RUN) -m pytest -m chapters tests/chapters

lint: $(VENV)/installed-lint ## style and types
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check llm_from_scratch tests exercises
	$(RUN) -m mypy

bench: $(VENV)/installed ## speed beside PyTorch, tokenizers and tiktoken, where they are installed
	$(RUN) -m llm_from_scratch bench $(ARGS)

clean:           ## remove the virtual environment
	rm -rf $(VENV)

$(RUN):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Python 3.10 or newer is needed; choose one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "No virtual environment: on Debian and Ubuntu, apt install python3-venv"; exit 1; }

# A stamp is written only after its installation succeeded, so an interrupted one is simply done again.
$(VENV)/installed: pyproject.toml | $(RUN)
	$(PIP) install -e .
	@touch $@

$(VENV)/installed-test: pyproject.toml | $(RUN)
	$(PIP) install -e ".[test,chapters,curation,mpi]"
	@touch $@ $(VENV)/installed

$(VENV)/installed-lint: pyproject.toml | $(RUN)
	$(PIP) install -e ".[lint]"
	@touch $@
