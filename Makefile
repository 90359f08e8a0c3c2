# The build's output stays outside of the checkout, so that checkouts share it.
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/howdah/target

.PHONY: demo test lint audit unit drivers packages package regress fuzz chaos bench bench-smoke languages setup

## Show the main job working: a primary, two replicas, the proxy, a policy swapped under load.
demo: setup
	cargo run --quiet --package howdah -- demo

## Everything that must hold: format, lints, unit and end-to-end tests, drivers, packages, PostgreSQL's own tests, benchmarks
## for a moment, a minute of each fuzzer.
test: setup lint audit unit drivers packages regress bench-smoke
	cargo run --quiet --package howdah -- demo --check
	tests/fuzz/run 60

setup:
	.ci/setup

lint: setup
	cargo fmt --all --check
	cargo fmt --check --manifest-path tests/drivers/rust/Cargo.toml
	cargo clippy --workspace --all-targets --locked -- --deny warnings

## What the program is made of: licences, sources, known vulnerabilities.
audit: setup
	.ci/audit

unit: setup
	cargo test --locked

## Real drivers with their default settings, through transaction pooling.
drivers: setup
	cargo build --quiet --locked --package howdah
	tests/drivers/run

## The Debian package of a debug build, installed and removed in a root of its own; units, manifests, configurations.
packages: setup
	cargo build --quiet --locked --package howdah
	tests/package/run $(CARGO_TARGET_DIR)/debug/howdah

## A Debian package; prints where it is.
package: setup
	.ci/setup package
	program=$$(.ci/package/build) && .ci/package/deb $$program $$(.ci/package/policies) $(CARGO_TARGET_DIR)

## PostgreSQL's own regression suite, directly and through transaction pooling.
regress: setup
	tests/regress/run --mode direct --mode transaction --at-least 200

## Fuzz every target for SECONDS each.
fuzz: SECONDS ?= 60
fuzz: setup
	tests/fuzz/run $(SECONDS)

## FAULTS faults of clusters under load, with asynchronous replicas and then with synchronous ones, and 5,000 idle clients;
## prints what became of clients and of each row. SEED=… repeats one, FAULT=… takes faults of one kind (a part of its name).
## PROXY=haproxy and PROXY=pgbouncer put those in howdah's place, with 50 idle clients.
chaos: FAULTS ?= 200
chaos: PROXY ?= howdah
chaos: setup
	$(if $(filter-out howdah,$(PROXY)),.ci/setup peers)
	CHAOS_PROXY=$(PROXY) CHAOS_FAULTS=$(FAULTS) CHAOS_IDLE=$(if $(filter howdah,$(PROXY)),5000,50) \
		$(if $(SEED),CHAOS_SEED=$(SEED)) $(if $(FAULT),CHAOS_FAULT="$(FAULT)") \
		cargo test --locked --package howdah-e2e --test chaos -- --nocapture --test-threads 1

## CPU per query and throughput beside a direct connection and peers, also over three nodes; memory of idle clients,
## logins, bytes; what a policy, its swapping, settings and TLS cost; instructions per query; parts of the program alone.
bench: setup
	.ci/setup peers
	.ci/package/build
	PATH="$$(.ci/setup pgbouncer):$$PATH"; \
		for what in goals policy instructions; do tests/bench/run $$what || exit 1; done
	cargo bench --locked --package howdah-sql --package howdah-wire --package howdah

## Every benchmark for a moment with a debug build: it runs, and prints figures. Of those of instructions per query the
## difference to the last landing means something.
bench-smoke: setup
	.ci/setup peers
	cargo build --quiet --locked --package howdah
	PROFILE=debug tests/bench/smoke
	cargo test --quiet --locked --benches --package howdah-sql --package howdah-wire --package howdah

## What a policy costs in each language.
languages: setup
	tests/languages
