# Everything a developer or an operator starts by hand. Needs only Python >= 3.11, make and a shell.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TESTED := $(VENV)/.tested
TRACKED := $(wildcard $(shell git ls-files --cached --others --exclude-standard))
EXTRAS := local,eval,postgres,s3,dev
# Two files at once, but for those that watch workers by the second.
define TESTS
$(BIN)/python -m pytest -n 2 --dist loadfile --ignore tests/tasks
$(BIN)/python -m pytest tests/tasks
endef

.PHONY: help demo up vendors test check lint eval meeteval bench chaos format constraints clean
.DEFAULT_GOAL := help

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

$(BIN)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Erni needs Python 3.11 or newer; set PYTHON=...")'
	@echo "Setting up $(VENV) (once; about 1.5 GB) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --constraint constraints.txt --editable '.[$(EXTRAS)]'
	@touch $@

demo: $(BIN)/.installed ## transcribe samples/standup.flac with everything started and stopped for it
	@$(BIN)/erni demo

up: $(BIN)/.installed ## start the whole stack here and keep it running (Ctrl-C stops it)
	@$(BIN)/erni up

vendors: $(BIN)/.installed ## stand in for OpenAI, pyannote.ai and Replicate here (Ctrl-C stops them)
	@$(BIN)/python -m vendors

test: $(BIN)/.installed ## run all tests
	$(TESTS)
	@touch $(TESTED)

check: lint $(TESTED) ## lint, types, floors, and all tests unless they passed on these very files

lint: $(BIN)/.installed
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

$(TESTED): $(BIN)/.installed $(TRACKED)
	$(TESTS)
	@touch $@

eval: $(BIN)/.installed ## measure quality beside references (DATA=folder JSON=file PLOTS=folder); see docs/evaluation.md
	@$(BIN)/erni eval $(if $(DATA),"$(DATA)") $(if $(JSON),--json "$(JSON)") $(if $(PLOTS),--plots "$(PLOTS)")

meeteval: $(BIN)/.installed ## add cpWER and tcpWER to `make eval`; needs a C++ compiler
	@$(BIN)/python -m pip install -qq --constraint constraints.txt --editable '.[meeteval]'

bench: $(BIN)/.installed ## measure here, two hours in all; see python -m bench --help (AUDIO=file REFERENCE=text to add one)
	@$(BIN)/python -m bench $(if $(AUDIO),--audio "$(AUDIO)") $(if $(REFERENCE),--reference "$(REFERENCE)")

chaos: $(BIN)/.installed ## break everything under load and count the losses (SEED=n FAULTS=n JOBS=n)
	@$(BIN)/python -m chaos $(if $(SEED),--seed $(SEED)) $(if $(FAULTS),--faults $(FAULTS)) $(if $(JOBS),--jobs $(JOBS))

format: $(BIN)/.installed ## format and mend what ruff can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

constraints: ## resolve the newest allowed versions into constraints.txt
	@$(PYTHON) -m venv $(VENV)-resolve
	@$(VENV)-resolve/bin/python -m pip install -qq 'torch==2.13.0' --editable '.[$(EXTRAS),meeteval]'
	@$(VENV)-resolve/bin/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > constraints.txt
	@rm -r $(VENV)-resolve

clean: ## remove what the targets above made, but no data
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
