# One vocabulary for people, hooks and CI. `make` alone lists it.
SHELL := /bin/bash
PYTHON ?= python3.11
BIN := .venv/bin
WORKERS ?= 3
HOME_DIR ?= .demo$(if $(SOURCE),-$(SOURCE))
export MLFLOW_DISABLE_TELEMETRY := true
export GX_ANALYTICS_ENABLED := false

.DEFAULT_GOAL := help
.PHONY: help install jars demo test soak check bench serve clean lock

help: ## list what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

install: $(BIN)/.done ## make the environment in .venv, every package by version and hash

$(BIN)/.done: requirements.lock tools.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed, and $(PYTHON) is not here. Say where it is: make install PYTHON=..."; exit 1; }
	@echo "Making the environment in .venv ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tools.lock
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode tools.lock requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

jars: deploy/spark/jars/.done ## fetch Delta's jars for the Spark engine (needs Maven; Java 17 to run it)

deploy/spark/jars/.done: deploy/spark/pom.xml
	@command -v mvn >/dev/null || { echo "Maven is needed to fetch the jars, and mvn is not here. On Debian: apt-get install maven"; exit 1; }
	@mvn -q -B -f deploy/spark/pom.xml dependency:copy-dependencies -DoutputDirectory=jars
	@touch $@

demo: install ## a shop's sales from files to served answers, in minutes; DATA=path takes files of your own
	@DATA="$(DATA)" SOURCE="$(SOURCE)" $(BIN)/python -m jobs.demo --home $(HOME_DIR)

test: install ## what takes a quarter of an hour at most; ALL=1: all but the soak's, and what this machine can't run fails
	@$(if $(ALL),ZEROMARGIN_TEST_ALL=1) $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(if $(ALL),,-m "not slow")
	@$(if $(ALL),,echo "These were the tests that are not slow. All but what is tried in the soak alone, as for landing: make test ALL=1")

soak: install ## every test there is: all scenarios on both engines, and what claims "always" SOAK times (200): hours
	@SOAK=$${SOAK:-200} $(BIN)/python -m pytest --numprocesses 2 --timeout 36000 tests tests/behaviour/soak_large_file.py tests/behaviour/soak_stores.py

check: install ## ruff, mypy, import-linter and the notebook contract
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m jobs.contract notebooks/*.ipynb

bench: install ## measure the demo, the real file on each engine, gold, weeks and features at size, and the service
	@failed=; for one in demo first_answer gold weeks features serving; do echo "== $$one"; \
		$(BIN)/python benchmarks/$$one.py --json .bench/$$one.json $$(case $$one in gold|weeks|features) echo --plot;; esac) || failed="$$failed $$one"; done; \
		test -z "$$failed" || { echo "These failed:$$failed"; exit 1; }

serve: install ## answer questions from HOME_DIR (.demo) over HTTP
	@$(BIN)/zeromargin --home $(HOME_DIR) serve

lock: ## resolve the locks anew from pyproject.toml
	@$(BIN)/uv pip compile -q pyproject.toml --all-extras --generate-hashes --no-emit-index-url --no-header --python-version 3.11 -o requirements.lock
	@$(BIN)/uv pip compile -q pyproject.toml --extra serving --generate-hashes --no-emit-index-url --no-header --python-version 3.11 -c requirements.lock -o serving.lock
	@echo 'uv==0.13.9' | $(BIN)/uv pip compile -q - --generate-hashes --no-emit-index-url --no-header --python-version 3.11 -o tools.lock

clean: ## remove the environment, the demo's home and caches
	rm -rf .venv .demo .demo-* .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info build
	@find . -name __pycache__ -prune -exec rm -rf {} +
