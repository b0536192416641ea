#!/usr/bin/env bash
# Format, lints and every test of the workspace. The last line is the overall result, summed over all
# test executables: "412 passed, 0 failed".
set -euo pipefail
cd "$(dirname "$0")/.."

log=$(mktemp)
trap 'rm -f "$log"' EXIT

tools=$(scripts/tools.sh --environment)
eval "$tools"

echo "== format" >&2
cargo fmt --all --check

echo "== lints" >&2
# The fuzz targets are a workspace of their own, whose lock file nothing else would look at.
cargo metadata --locked --format-version 1 --manifest-path fuzz/Cargo.toml >/dev/null
cargo clippy --locked --workspace --all-targets -- -D warnings

# All targets at once, so that the tests and the binary that they start share one build of each crate.
echo "== build" >&2
cargo build --locked --workspace --all-targets

echo "== tests" >&2
status=0
cargo test --locked --workspace --no-fail-fast -- "$@" 2>&1 | tee "$log" || status=$?

scripts/sum-tests.sh "$log" || status=$?
exit "$status"
