# psastream: `make` explains itself. Every target sets up what it needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST = $(BIN)/python -m pytest -m "not crash" --durations=15
# Tests and the demo start dozens of processes: without bytecode each compiles all it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo wheel picture picture-superset test test-parts test-systems test-engine test-story test-unit test-product test-connectors \
	test-property conformance docs site prove-bi prove-alerts alerts verify-access verify-privacy verify-traces verify-deploy verify-cluster verify-image verify-upgrade outside properties mutants crash seeds fuzz check format \
	bench bench-pipeline bench-latency bench-latency-database bench-idle bench-sizes bench-read-model bench-backfill profile clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Make the virtual environment with the locked packages

$(READY): requirements/all.lock requirements/bootstrap.lock pyproject.toml
	@echo "psastream: making $(VENV) with the locked packages (about a minute the first time)"
	@$(PYTHON) -c 'import sys; sys.exit("psastream needs Python 3.11 to 3.14, this is " + sys.version.split()[0] + "; try: make PYTHON=python3.11") if not (3, 11) <= sys.version_info[:2] < (3, 15) else 0'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/bootstrap.lock
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes \
		-r requirements/all.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

KEEPS_GOING := $(findstring k,$(filter-out --%,$(firstword -$(MAKEFLAGS))))

demo: $(READY) ## Run a firm's story through the real parts and compare the books (ARGS="--keep", ARGS="--seed 7")
	$(if $(KEEPS_GOING),$(error --keep is an option of make here: make demo ARGS=--keep))
	@$(BIN)/psastream demo $(ARGS)

wheel: $(READY) ## Build the package into dist/
	@$(BIN)/uv build --quiet --wheel --clear --out-dir dist .

picture: $(READY) ## Run the demo and draw its end (docs/images/demo.svg)
	@$(BIN)/psastream demo --picture docs/images/demo.svg $(ARGS)

picture-superset: $(READY) ## Take the picture of the dashboard of the BI tutorial (docs/images/superset.png)
	@PSASTREAM_TEST_REQUIRE_REAL=1 PSASTREAM_TEST_PICTURE=docs/images/superset.png \
		$(PYTEST) tests/bi/test_tutorial.py

test: $(READY) ## Run all tests but those of `make crash` (ARGS="-k name")
	@$(if $(ARGS),$(PYTEST) $(ARGS),$(MAKE) --no-print-directory -j8 \
		test-parts test-systems test-engine test-story test-unit test-product test-connectors test-property)

SYSTEMS_TESTS = $(wildcard $(addprefix tests/integration/test_,dispatch.py polled.py singer.py vendors*.py \
	registry.py runtime_kafka.py secure_kafka.py unreachable.py))
# Side by side: the pure ones compute while those on real parts, each with its own, mostly wait;
# these go first where both could run.
test-parts: $(READY)
	@$(PYTEST) tests/integration --ignore-glob='*/test_engine*' $(addprefix --ignore=,$(SYSTEMS_TESTS))

test-systems: $(READY)
	@$(PYTEST) $(SYSTEMS_TESTS)

test-engine: $(READY)
	@$(PYTEST) tests/integration/test_engine*.py

test-story: $(READY)
	@$(PYTEST) tests/e2e

test-unit: $(READY)
	@nice -n 5 $(PYTEST) tests/unit $(addprefix --ignore=tests/unit/,connectors psastream sandbox)

test-product: $(READY)
	@nice -n 5 $(PYTEST) tests/unit/psastream tests/unit/sandbox

test-connectors: $(READY)
	@nice -n 5 $(PYTEST) tests/unit/connectors

test-property: $(READY)
	@nice -n 5 $(PYTEST) tests/property

conformance: $(READY) ## Hold every system to the clauses of docs/conformance.md, and a bad one
	@$(PYTEST) tests/conformance

docs: $(READY) ## Run every command that README and docs show, and the package in a clean environment
	@$(PYTEST) $(or $(ARGS),tests/docs)

site: $(READY) ## Build the documentation as a site (site/)
	@$(BIN)/uv run --quiet --no-project --isolated --with-requirements requirements/site/zensical.lock \
		zensical build --strict

prove-bi: $(READY) ## Ask dbt's semantic layer and Superset on demos with kills, against their topics (SEEDS=3)
	@$(if $(SEEDS),PSASTREAM_TEST_SEEDS=$(SEEDS)) $(PYTEST) tests/bi $(ARGS)

alerts: $(READY) ## Let promtool try that every alert fires when it should, amtool whom it reaches
	@$(PYTEST) tests/alerts

verify-access: $(READY) ## Tell a story on a broker that refuses what no rule allows; is each rule needed?
	@$(PYTEST) tests/access $(ARGS)

verify-privacy: $(READY) ## Tell a story that is encrypted: what disks hold, new keys, a person forgotten (3 minutes)
	@$(PYTEST) tests/privacy $(ARGS)

verify-traces: $(READY) ## Follow changes to vendors' answers in traces that a real collector was sent (needs Go once)
	@$(PYTEST) tests/traces $(ARGS)

verify-deploy: $(READY) ## Judge the Helm chart by helm, kubeconform and the product itself (needs Go once)
	@$(PYTEST) --durations=5 tests/deploy --ignore=tests/deploy/test_cluster.py $(ARGS)

verify-cluster: $(READY) ## Install, upgrade and roll back the chart on a real API server, which is built once
	@$(PYTEST) --durations=5 tests/deploy/test_cluster.py $(ARGS)

verify-image: $(READY) ## Build the images step by step, look into them, run them read-only (needs root, buildah)
	@$(PYTEST) --durations=5 tests/image $(ARGS)

verify-upgrade: $(READY) ## From the previous release to this one and back, and scale, while people work
	@$(PYTEST) --durations=5 tests/upgrade $(ARGS)

prove-alerts: $(READY) ## Break a running demo: Prometheus and Alertmanager must tell, and tell the end
	@$(PYTEST) tests/heard $(ARGS)

.PHONY: prove-dispatch
prove-dispatch: $(READY) ## Two dispatchers, killed and stopped, vendors that fail: one effect a command (COMMANDS=10000 KILLS=50 STOPS=5 LAG=6)
	@$(BIN)/python -m tests.prove.dispatch $(foreach it,COMMANDS KILLS STOPS LAG SEED,$(if $($(it)),--$(shell echo $(it) | tr A-Z a-z) $($(it)))) $(ARGS)

.PHONY: prove-capture
prove-capture: $(READY) ## A poller, killed, of a vendor with late commits, lag and shared stamps: nothing is missed (RECORDS=1000000 KILLS=100 OVERLAP=600)
	@$(BIN)/python -m tests.prove.capture $(foreach it,RECORDS KILLS OVERLAP TIES SEED,$(if $($(it)),--$(shell echo $(it) | tr A-Z a-z) $($(it)))) $(ARGS)

outside: $(READY) ## Capture a database nobody here designed, against SQL over it; Iceberg tables; other databases' files
	@$(PYTEST) $(or $(ARGS),tests/outside)

properties: $(READY) ## Run the property tests with many examples each (TIMES=20)
	@PSASTREAM_TEST_TIMES=$(or $(TIMES),20) $(PYTEST) $(or $(ARGS),tests/property tests/unit tests/conformance)

mutants: $(READY) ## Put small faults into the code: do the tests notice? (N=200 SEED=1 ONLY=tables)
	@$(BIN)/python -m tests.mutants.run --count $(or $(N),200) --seed $(or $(SEED),1) \
		$(if $(ONLY),--only $(ONLY))

crash: $(READY) ## Kill the parts, cut their lines, feed bad input: the books must agree (SEEDS=50)
	@$(if $(SEEDS),PSASTREAM_TEST_SEEDS=$(SEEDS)) $(BIN)/python -m pytest -m crash \
		$(if $(SEEDS),tests/integration/test_engine_chaos.py) $(ARGS)

.PHONY: rehearse
rehearse: $(READY) ## Lose volumes, read model and brokers of a firm at work, and bring them back
	@$(PYTEST) tests/recovery $(ARGS)

seeds: $(READY) ## Run the demo for ten different seeds (SEEDS="1 2 3")
	@for seed in $(or $(SEEDS),1 2 3 4 5 6 7 8 9 10); do \
		echo "seed $$seed"; $(BIN)/psastream demo --seed $$seed $(ARGS) || exit 1; done

fuzz: $(READY) ## Throw random inputs at every edge (N=1000000 FUZZ_SEED=1 ONLY=codec CASE=7 SIZE=250)
	@$(BIN)/python -m tests.fuzz --inputs $(or $(N),100000) --seed $(or $(FUZZ_SEED),1) \
		$(addprefix --only ,$(ONLY)) $(addprefix --case ,$(CASE)) $(addprefix --size ,$(SIZE))

check: $(READY) ## Lint, types, import direction, formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(READY) ## Format the code
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format .

bench: $(READY) ## Run the same work on psastream and its peers (CHANGES=200000 SYSTEMS=quix,flink_sql)
	@$(BIN)/python -m bench.side_by_side --changes $(or $(CHANGES),2000000) \
		$(if $(SYSTEMS),--systems $(SYSTEMS))

bench-pipeline: $(READY) ## Measure Debezium envelopes to the margin topic, one worker (CHANGES=500000)
	@$(BIN)/python -m bench.pipeline --changes $(or $(CHANGES),500000)

bench-latency: $(READY) ## Measure append to metric beside peers (ARGS="--rates 1000 --seconds 20")
	@$(BIN)/python -m bench.latency $(ARGS)

bench-latency-database: $(READY) ## Measure database commit to margin through the whole product
	@$(BIN)/python -m bench.latency_database $(ARGS)

bench-idle: $(READY) ## Measure what all processes take while nothing changes (ARGS="--seconds 60")
	@$(BIN)/python -m bench.idle $(ARGS)

bench-sizes: $(READY) ## Measure updates, restart and recovery by size of state (ARGS="--rows 100000")
	@$(BIN)/python -m bench.sizes $(ARGS)

bench-read-model: $(READY) ## Measure rows a second into the read model (ARGS="--rows 1000000")
	@$(BIN)/python -m bench.read_model $(ARGS)

bench-backfill: $(READY) ## Measure the first read of Salesforce beside peers that read it (RECORDS=1000000)
	@$(BIN)/python -m bench.backfill --records $(or $(RECORDS),100000) $(ARGS)

profile: $(READY) ## Say where the microseconds of a change go (CHANGES=2000000, or RATE=100 a second)
	@$(BIN)/python -m bench.profile --changes $(or $(CHANGES),2000000) $(addprefix --rate ,$(RATE))

clean: ## Remove what the targets made (downloads stay in the user's cache)
	@rm -rf $(VENV) .psastream site .mypy_cache .ruff_cache .pytest_cache
