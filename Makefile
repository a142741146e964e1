# `make demo` and `make test` need nothing but Rust and make: they install the rest themselves, through
# apt-get, PyPI and npm, when it is missing (scripts/setup, scripts/clients).

CARGO ?= cargo
# For `make demo`: make demo ARGS="--servers 10 --replicas 2"
ARGS ?=
# For `make test`: make test TESTS=clients
TESTS ?=

.PHONY: help build demo test lint bench clients setup lua

help: ## Say what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## The binary: target/release/sl
	@scripts/setup demo
	$(CARGO) build --release --locked

demo: ## A whole local pool with simulated BigBlueButton servers; Ctrl-C ends it (ARGS="--servers 10")
	@scripts/setup demo
	@$(CARGO) run --locked -- dev $(ARGS)

test: clients ## Every test (or TESTS=part of a name)
	@if $(CARGO) nextest --version >/dev/null 2>&1; \
	then set -x; $(CARGO) nextest run --locked --workspace --no-fail-fast $(TESTS); \
	else set -x; $(CARGO) test --locked --workspace --no-fail-fast --tests $(TESTS); fi
	$(CARGO) test --doc --locked --workspace $(TESTS)

lint: ## Format, clippy, and what dependencies bring in: licences, bans, sources, advisories
	@scripts/setup lint
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked --no-default-features --lib --bins -- -D warnings
	$(CARGO) deny --workspace --log-level error check --hide-inclusion-graph licenses bans sources
	@scripts/advisories

bench: ## The proxy's own cost, against nginx; recordings by the million
	@scripts/setup bench
	$(CARGO) bench --locked --bench pool
	$(CARGO) bench --locked --bench recordings

clients: ## Set up the third-party clients that the tests drive
	@scripts/setup test
	@scripts/clients

setup: clients ## All set-up at once, without building
	@scripts/setup

lua: ## Copy lua/lib into the scripts that use it
	@SL_UPDATE_LUA=1 $(CARGO) test --locked --test it every_copy_is_current
