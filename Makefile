# One command each: `make lab` to use it, `make test` to trust it, `make dev` to change it. `make help` lists them.

PYTHON ?= python3
# More arguments for JupyterLab: make lab LAB_ARGS="--no-browser --port 9999"
LAB_ARGS ?=

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
TOUR := notebooks/01-tour.ipynb
# Our python, node and npm come first, for the recipes and for servers that a notebook starts by name.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help lab test bench dev stress mutants clean
help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

# --- environment ------------------------------------------------------------------------------------------

# A stamp is newer than pyproject.toml when the environment holds what it asks for. The front end is left out of the
# install because `make front-end` does it, with the Node that the install brings.
INSTALL := PMCP_LAB_SKIP_FRONTEND=1 $(BIN)/python -m pip install --quiet

# Touched last, so that an interrupted start is done again.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "Python's venv module is missing: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@# Dependency groups came with pip 25.1.
	@$(BIN)/python -m pip install --quiet 'pip>=25.1'
	@touch $@

$(VENV)/.notebook: pyproject.toml | $(VENV)/.made
	$(INSTALL) --editable '.[notebook,apps,demo,code]' --group front-end
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/.made
	$(INSTALL) --editable '.[all]' --group dev
	@touch $@ $(VENV)/.notebook

.PHONY: front-end peers built-peers system
front-end: $(VENV)/.notebook ## Build the front end, if it is out of date
	@$(BIN)/python hatch_build.py

NPM_CI := $(BIN)/npm ci --ignore-scripts --no-audit --no-fund
peers: tests/peers/node_modules/.package-lock.json $(patsubst %,.peers/%/.made,mcp1 fastmcp fastmcp_skills reference)
tests/peers/node_modules/.package-lock.json: tests/peers/package-lock.json | $(VENV)/.dev
	cd $(<D) && $(CURDIR)/$(NPM_CI)
	@touch $@

# Python peers can't share our environment: each has its own, with what its file names.
.peers/%/.made: tests/peers/%.txt | $(VENV)/.made
	$(BIN)/python -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet -r $<
	@touch $@

# Peers in other languages are built where there is a toolchain, by `make interop`; `make test` tries those that were
# built before, for building takes minutes. Elsewhere, and where the build fails, their tests are skipped and say so.
built-peers: .peers/go/.made .peers/rust/.made
GO_PEER := tests/peers/go
.peers/go/.made: $(wildcard $(GO_PEER)/go.* $(GO_PEER)/*/*.go)
	@mkdir -p $(@D)
	@if ! command -v go >/dev/null; then echo "there is no go: its peers are left out"; \
	elif cd $(GO_PEER) && go build -o $(CURDIR)/$(@D)/ ./client ./server \
	  github.com/modelcontextprotocol/go-sdk/examples/server/everything; then touch $(CURDIR)/$@; fi

RUST_PEER := tests/peers/rust
.peers/rust/.made: $(wildcard $(RUST_PEER)/Cargo.* $(RUST_PEER)/src/bin/*.rs)
	@mkdir -p $(@D)
	@if ! command -v cargo >/dev/null; then echo "there is no cargo: its peers are left out"; \
	elif CARGO_TARGET_DIR=$(CURDIR)/$(@D) cargo build --quiet --locked --manifest-path $(RUST_PEER)/Cargo.toml; \
	then touch $@; fi

# The checks of the front end need its packages also when the bundles are fresh.
js/node_modules/.package-lock.json: js/package-lock.json | $(VENV)/.dev
	cd $(<D) && $(CURDIR)/$(NPM_CI)
	@touch $@

# What the tests need and pip cannot install. Fonts: without one, Chromium paints boxes in the screenshots. Chromium's
# shell has a page in a third of the time; where it can't be had, the tests take Chromium.
system:
	@missing=; \
	[ -n "$${PMCP_LAB_CHROMIUM:-}" ] || command -v chromium chromium-browser google-chrome >/dev/null \
	  || missing="chromium fonts-dejavu-core"; \
	[ -n "$${PMCP_LAB_FIREFOX:-}" ] || command -v firefox-esr firefox >/dev/null || missing="$$missing firefox-esr"; \
	command -v redis-server >/dev/null || missing="$$missing redis-server"; \
	command -v faketime >/dev/null || missing="$$missing faketime"; \
	faster=chromium-headless-shell; \
	! command -v $$faster >/dev/null && [ -z "$${PMCP_LAB_CHROMIUM:-}" ] || faster=; \
	[ -n "$$missing$$faster" ] || exit 0; \
	as_root=; [ "$$(id -u)" = 0 ] || as_root="sudo -n"; \
	if command -v apt-get >/dev/null && { [ -z "$$as_root" ] || $$as_root true 2>/dev/null; }; then \
	  install="$$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends"; \
	  [ -z "$$missing" ] && apt-cache show $$faster >/dev/null 2>&1 || $$as_root apt-get update -qq >/dev/null || :; \
	  [ -z "$$missing" ] || { echo "installing $$missing"; $$install $$missing >/dev/null || exit; }; \
	  [ -z "$$faster" ] || ! apt-cache show $$faster >/dev/null 2>&1 || $$install $$faster >/dev/null || :; \
	elif [ -n "$$missing" ]; then \
	  echo "please install, or the tests that need it are skipped: $$missing"; \
	fi

# --- use --------------------------------------------------------------------------------------------------

# Jupyter refuses to run as root unless told that it is meant.
LAB := $(BIN)/jupyter lab --LabApp.default_url=/lab/tree/$(TOUR) $(if $(filter 0,$(shell id -u)),--allow-root) $(LAB_ARGS)

lab: $(VENV)/.notebook front-end ## Open JupyterLab on the tour
	$(LAB)

dev: $(VENV)/.dev js/node_modules/.package-lock.json front-end ## The same; edits of js/ and pmcp_lab/static appear in open notebooks
	@# A process group of its own, so that the end of JupyterLab ends all of the watcher.
	set -m; (cd js && npm run watch) & watcher=$$!; trap 'kill -- -$$watcher' EXIT; \
	ANYWIDGET_HMR=1 $(LAB)

# --- tests ------------------------------------------------------------------------------------------------

# In the order in which they find most faults per second. Each is a target of its own: `make unit`. Those with a plus
# between them take a core each, and run side by side.
STAGES := style layers js types+notebooks unit interop packaging browser

PYTEST := $(BIN)/python -m pytest
# Many tests wait for processes that they start: three files at a time keep two cores busy, and browsers keep them busy
# by two. A file's tests stay together, for they share their servers; `tests/conftest.py` says which files come first.
BY_FILE := --dist loadfile --no-loadscope-reorder
SIDE_BY_SIDE := -n 3 $(BY_FILE)
# Processes and pages of a busy machine may come too late once. What was run again is named in the summary, and is to
# be mended.
ONCE_MORE := --reruns 1 -rR
NOT_UNIT := $(addprefix --ignore=tests/,interop browser packaging benchmarks stress)

test: $(VENV)/.dev front-end peers js/node_modules/.package-lock.json system ## Everything that CI runs
	@failed=0; summary=; \
	for stage in $(STAGES); do \
	  printf '\n--- %s\n' "$$stage"; began=$$SECONDS; \
	  both=; [[ $$stage != *+* ]] || both="-kj2 -Otarget"; \
	  if $(MAKE) --no-print-directory $$both $${stage//+/ } IN_TEST=1; then verdict=passed; \
	  else verdict=FAILED; failed=1; fi; \
	  summary+=$$(printf '  %-16s%-8s%4d s' "$$stage" "$$verdict" $$((SECONDS - began)))$$'\n'; \
	done; \
	printf '\n%s' "$$summary"; exit $$failed

.PHONY: $(subst +, ,$(STAGES))
style: $(VENV)/.dev ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev ## mypy, strict
	$(BIN)/mypy

layers: $(VENV)/.dev ## import-linter
	$(BIN)/lint-imports

js: js/node_modules/.package-lock.json ## Types, style and tests of the front end
	cd js && npm run --silent check && npm run --silent test

unit: $(VENV)/.dev front-end ## The quick Python tests
	$(PYTEST) tests $(NOT_UNIT) $(SIDE_BY_SIDE) $(ONCE_MORE)

interop: $(VENV)/.dev peers $(if $(IN_TEST),,built-peers) ## Against other people's clients and servers; fills tests/interop/README.md
	$(PYTEST) tests/interop $(SIDE_BY_SIDE) $(ONCE_MORE) -p tests.interop.table

notebooks: $(VENV)/.dev front-end ## Run every notebook
	$(PYTEST) -p nbval --nbval-lax --nbval-current-env --nbval-cell-timeout=120 notebooks

packaging: $(VENV)/.dev ## Build and install the package
	$(PYTEST) tests/packaging $(SIDE_BY_SIDE) $(ONCE_MORE)

browser: $(VENV)/.dev front-end peers system ## In Chromium and Firefox; fills tests/browser/README.md
	$(PYTEST) tests/browser -n 2 $(BY_FILE) $(ONCE_MORE) -p tests.browser.app_table

bench: $(VENV)/.dev front-end peers system ## Measure, and print the figures
	PMCP_LAB_MCP1_PYTHON=$${PMCP_LAB_MCP1_PYTHON:-$(CURDIR)/.peers/mcp1/bin/python} \
	PMCP_LAB_FASTMCP_PYTHON=$${PMCP_LAB_FASTMCP_PYTHON:-$(CURDIR)/.peers/fastmcp/bin/python} \
	$(PYTEST) tests/benchmarks --capture=no

stress: $(VENV)/.dev front-end peers system ## The long versions of the tests
	$(PYTEST) tests/stress

# One room after the other: make mutants ROOM=host N=50 SEED=7
ROOM ?= client/tasks
N ?= 20
SEED ?= 1
mutants: $(VENV)/.dev front-end ## Small faults of a room that its tests do not notice
	$(BIN)/python -m tests.mutation $(ROOM) -n $(N) --seed $(SEED)

clean: ## Remove everything that was made here
	rm -rf $(VENV) .peers dist pmcp_lab/static js/node_modules tests/peers/node_modules test-results .*_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
