# make help            what there is to make
# CARGO_TARGET_DIR     is respected; target/release/mos is there either way
# PREFIX, DESTDIR      where make install puts it: $(DESTDIR)$(PREFIX)/bin/mos

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

target := $(or $(CARGO_TARGET_DIR),target)
PREFIX ?= /usr/local

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

.PHONY: packages
packages: ## install the Debian packages that a build needs, if missing
	@scripts/install-packages.sh

.PHONY: build
build: packages ## the release binary, target/release/mos
	@cargo build --release --locked -p mos
	@if [ ! "$(target)/release/mos" -ef target/release/mos ]; then \
		mkdir -p target/release && cp -f "$(target)/release/mos" target/release/mos; \
	fi
	@ls -l target/release/mos

.PHONY: install
install: ## the built binary, stripped, into PREFIX/bin (/usr/local/bin)
	@test -x target/release/mos || { echo "there is no target/release/mos: run make build first" >&2; exit 1; }
	@install -D --strip -m 755 target/release/mos "$(DESTDIR)$(PREFIX)/bin/mos"
	@ls -l "$(DESTDIR)$(PREFIX)/bin/mos"

.PHONY: demo
demo: build ## start a server, use it with kubectl, clean up
	@scripts/demo.sh

.PHONY: test
test: packages ## format, lints and every test
	@scripts/test.sh

.PHONY: compatibility
compatibility: packages ## write docs/compatibility.md from a run of the kubectl matrix
	@cargo build --locked --workspace --all-targets
	@eval "$$(scripts/tools.sh --environment)" && \
		"$(target)/debug/compatibility" docs/compatibility.md

.PHONY: audit
audit: ## licences, duplicate and banned crates, sources
	@scripts/audit.sh

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZ_SECONDS (30) seconds each
	@scripts/fuzz.sh

.PHONY: clean
clean: ## remove what was built here (the caches in ~/.cache/mosaic stay)
	@cargo clean --quiet
	@rm -rf target fuzz/target
