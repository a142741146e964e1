# `make demo` and `make test` need only Rust and make: they install everything else that is missing, from
# apt-get, PyPI and npm (scripts/setup, scripts/clients).

CARGO ?= cargo
# For `make demo`: make demo ARGS="--servers 10 --replicas 2"
ARGS ?=
# For `make test`: make test TESTS=clients
TESTS ?=

.PHONY: help build demo test lint bench clients setup

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build the binary: target/release/sl
	@scripts/setup demo
	$(CARGO) build --release --locked

demo: ## Run a local pool with simulated BigBlueButton servers until Ctrl-C (ARGS="--servers 10")
	@scripts/setup demo
	@$(CARGO) run --locked -- dev $(ARGS)

test: clients ## Run all tests (or those whose name contains TESTS=…)
	@if $(CARGO) nextest --version >/dev/null 2>&1; \
	then set -x; $(CARGO) nextest run --locked --workspace --no-fail-fast $(TESTS); \
	else set -x; $(CARGO) test --locked --workspace --no-fail-fast --tests $(TESTS); fi
	$(CARGO) test --doc --locked --workspace $(TESTS)

lint: ## Check formatting, clippy, and the dependencies: licences, bans, sources, advisories
	@scripts/setup lint
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked --no-default-features --lib --bins -- -D warnings
	$(CARGO) deny --workspace --log-level error check --hide-inclusion-graph licenses bans sources
	@scripts/advisories

bench: ## Measure the proxy's own cost against nginx, and with a million recordings
	@scripts/setup bench
	$(CARGO) bench --locked --bench pool
	$(CARGO) bench --locked --bench recordings

clients: ## Install the third-party clients that the tests use
	@scripts/setup test
	@scripts/clients

setup: clients ## Install everything, without building
	@scripts/setup
