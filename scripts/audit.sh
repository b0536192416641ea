#!/usr/bin/env bash
# Checks what the project depends on against deny.toml: licences, bans and duplicates, sources.
# Known vulnerabilities are not part of it, because their list is a git repository that not every
# machine reaches: `scripts/audit.sh advisories` asks for it.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.20.2
tools=${MOSAIC_BUILD_CACHE:-${HOME:-/root}/.cache/mosaic}/cargo-tools

deny=$tools/bin/cargo-deny
if command -v cargo-deny >/dev/null; then
    deny=cargo-deny
elif [ ! -x "$deny" ]; then
    echo "installing cargo-deny $version into $tools" >&2
    env -u CARGO_TARGET_DIR cargo install --quiet --locked --root "$tools" --version "$version" cargo-deny
fi

[ $# -gt 0 ] || set -- bans licenses sources
"$deny" --log-level warn --locked --all-features check "$@"
