# Everything here is a short name for a command; the work is done by cargo and by scripts/.
# Running pods, and so the demo, the tests and the benchmarks, needs root.

PREFIX ?= /usr/local
CARGO ?= cargo

.DEFAULT_GOAL := help
.PHONY: help demo test bench sim lint images install clean

help: ## this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z]+:.*## / { printf "  make %-8s  %s\n", $$1, $$2 }' Makefile

demo: ## build podyard, run the example Pod, fetch its page, show its timeline, clean up (root)
	@CARGO="$(CARGO)" scripts/demo

test: ## every test: unit, scenarios, simulation, kernel, end to end with the examples (root)
	@CARGO="$(CARGO)" scripts/test

bench: ## time from manifest to the app's execve: podyard, podman, and a hand-written floor (root)
	@CARGO="$(CARGO)" scripts/bench

sim: ## the lifecycle core alone against many simulated pods (PODS=1000000)
	@CARGO="$(CARGO)" scripts/sim

lint: ## rustfmt and clippy, warnings are errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

images: ## the images of demo, examples and tests as OCI archives in target/images/
	@scripts/install-dependencies images
	@scripts/build-image

install: ## the release binary to PREFIX/bin (PREFIX=/usr/local)
	@CARGO="$(CARGO)" scripts/build release
	install -D -m 0755 target/release/podyard "$(DESTDIR)$(PREFIX)/bin/podyard"

clean: ## remove everything that was built
	rm -rf target
