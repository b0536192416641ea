#!/usr/bin/env bash
# Usage: fuzz.sh [TARGET…]
# Runs each fuzz target for FUZZ_SECONDS seconds (30 by default), or those named.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${FUZZ_SECONDS:-30}
tools=${MOSAIC_BUILD_CACHE:-${HOME:-/root}/.cache/mosaic}/cargo-tools

if ! [ -f fuzz/Cargo.toml ]; then
    echo "fuzz: there is no fuzz/Cargo.toml" >&2
    exit 1
fi
if ! command -v cargo-fuzz >/dev/null && ! [ -x "$tools/bin/cargo-fuzz" ]; then
    echo "installing cargo-fuzz into $tools" >&2
    env -u CARGO_TARGET_DIR cargo install --quiet --locked --root "$tools" cargo-fuzz
fi
export PATH=$tools/bin:$PATH
# cargo-fuzz asks the compiler for sanitizers, which are there but not yet called stable.
export RUSTC_BOOTSTRAP=1

[ $# -gt 0 ] || mapfile -t targets < <(cargo fuzz list)
[ $# -eq 0 ] || targets=("$@")
failed=()
for target in "${targets[@]}"; do
    echo "== $target for $seconds s" >&2
    cargo fuzz run "$target" -- -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 ||
        failed+=("$target")
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "${#targets[@]} targets, $seconds s each: found something in ${failed[*]}"
    exit 1
fi
echo "${#targets[@]} targets, $seconds s each: nothing found"
